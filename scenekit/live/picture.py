"""A rendering as a page shows it: 8-bit colours, or depth and opacity made visible."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from scenekit.core.protocols import Rendering
from scenekit.live.look import Channel


@dataclass(frozen=True)
class Picture:
    """What a browser gets.

    Attributes:
        image: sRGB.
        finished: at full resolution; otherwise a coarse one to move about with.
        seconds: that rendering took.
    """

    image: UInt8[np.ndarray, "H W 3"]
    finished: bool
    seconds: float


def visible(rendering: Rendering, channel: Channel) -> UInt8[np.ndarray, "H W 3"]:
    """One view [1 H W ..] as an image; what is not finite becomes black."""
    if channel == "colour":
        shown = rendering.color[0]
    elif channel == "opacity":
        shown = rendering.opacity[0][..., None].expand(-1, -1, 3)
    elif rendering.depth is None:
        raise ValueError("this representation has no depth")
    else:
        shown = depth_colors(rendering.depth[0], rendering.opacity[0])
    finite = torch.nan_to_num(shown.detach().float(), posinf=0.0, neginf=0.0)
    return (finite.clamp(0, 1) * 255).round().to(torch.uint8).cpu().numpy()


def depth_colors(depth: Float[Tensor, "H W"], opacity: Float[Tensor, "H W"]) -> Float[Tensor, "H W 3"]:
    """Near yellow, far violet, nothing black; by inverse depth between its 2nd and 98th percentile."""
    there = (opacity > 0.5) & (depth > 0) & depth.isfinite()
    inverse = torch.where(there, 1 / depth.clamp(min=1e-12), torch.zeros_like(depth))
    known = inverse[there]
    if known.numel() == 0:
        return torch.zeros(*depth.shape, 3)
    known = known[:: 1 + known.numel() // 100_000]
    far, near = known.quantile(0.02), known.quantile(0.98)
    share = ((inverse - far) / (near - far).clamp(min=1e-12)).clamp(0, 1)
    stops = torch.tensor([[0.22, 0.05, 0.38], [0.65, 0.15, 0.45], [0.95, 0.5, 0.25], [0.98, 0.92, 0.45]])
    place = share.cpu() * (len(stops) - 1)
    below = place.long().clamp(max=len(stops) - 2)
    colors = torch.lerp(stops[below], stops[below + 1], (place - below)[..., None])
    return colors * there.cpu()[..., None]
