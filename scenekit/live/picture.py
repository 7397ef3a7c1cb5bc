"""A rendering as a page shows it: 8-bit colours, or depth, opacity, normals and errors made visible."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from scenekit.core.cameras import Cameras, every_pixel
from scenekit.core.protocols import Rendering
from scenekit.distill.surfaces import surface_normals
from scenekit.kernels.rays import rays_of
from scenekit.live.look import Channel

STOPS = ((0.22, 0.05, 0.38), (0.65, 0.15, 0.45), (0.95, 0.5, 0.25), (0.98, 0.92, 0.45))
LARGEST_ERROR = 0.25  # shown as the brightest


@dataclass(frozen=True)
class Picture:
    """What a browser gets.

    Attributes:
        image: sRGB.
        finished: at full resolution; otherwise a coarse one to move about with.
        seconds: that rendering took.
        note: what is to be said of it.
    """

    image: UInt8[np.ndarray, "H W 3"]
    finished: bool
    seconds: float
    note: str = ""


def visible(rendering: Rendering, channel: Channel, camera: Cameras) -> Float[Tensor, "H W 3"]:
    """One view [1 H W ..], background included, as colours; raises ValueError without what the channel shows."""
    if channel == "opacity":
        return rendering.opacity[0][..., None].expand(-1, -1, 3)
    if channel == "depth":
        return depth_colors(_depth(rendering), rendering.opacity[0])
    if channel == "normals":
        return normal_colors(rendering, camera)
    return rendering.color[0]


def to_image(shown: Float[Tensor, "H W 3"]) -> UInt8[np.ndarray, "H W 3"]:
    """Eight bits; what is not finite becomes black."""
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
    return _heat((inverse - far) / (near - far).clamp(min=1e-12)) * there.cpu()[..., None]


def normal_colors(rendering: Rendering, camera: Cameras) -> Float[Tensor, "H W 3"]:
    """Normals in ``world`` that face the camera, (x, y, z) as (red, green, blue) about grey; nothing is black.

    Those of the rendering; of the surface that its depths make where it has none.
    """
    (width, height), *_ = camera.sizes
    camera = camera.to(rendering.opacity.device)
    rays = rays_of(camera, every_pixel(camera))
    if rendering.normals is not None:
        normals = torch.nn.functional.normalize(rendering.normals[0], dim=-1)
    else:
        along = rays.directions * (_depth(rendering).double().reshape(-1) / rays.z_per_distance)[:, None]
        normals = surface_normals(along.reshape(height, width, 3))
    away = (normals * rays.directions.reshape(height, width, 3)).sum(-1, keepdim=True) > 0
    there = rendering.opacity[0][..., None] > 0.5
    return (0.5 + 0.5 * torch.where(away, -normals, normals)).float() * there


def error_colors(
    color: Float[Tensor, "H W 3"], photograph: Float[Tensor, "H W 3"]
) -> tuple[Float[Tensor, "H W 3"], float]:
    """Mean absolute difference of the channels, violet for none, yellow for a quarter and more; and the PSNR in dB."""
    difference = color - photograph
    psnr = -10 * math.log10(max(1e-12, float(difference.square().mean())))
    return _heat(difference.abs().mean(-1) / LARGEST_ERROR), psnr


def framed(shown: Float[Tensor, "h w 3"], aspect: float) -> Float[Tensor, "H W 3"]:
    """In the middle of a black picture of this aspect."""
    height, width, _ = shown.shape
    full_width, full_height = max(width, round(height * aspect)), max(height, round(width / aspect))
    frame = torch.zeros(full_height, full_width, 3)
    top, left = (full_height - height) // 2, (full_width - width) // 2
    frame[top : top + height, left : left + width] = shown.cpu()
    return frame


def _depth(rendering: Rendering) -> Float[Tensor, "H W"]:
    if rendering.depth is None:
        raise ValueError("this representation has no depth")
    return rendering.depth[0]


def _heat(share: Float[Tensor, "H W"]) -> Float[Tensor, "H W 3"]:
    stops = torch.tensor(STOPS)
    place = torch.nan_to_num(share.detach().cpu().float()).clamp(0, 1) * (len(stops) - 1)
    below = place.long().clamp(max=len(stops) - 2)
    return torch.lerp(stops[below], stops[below + 1], (place - below)[..., None])
