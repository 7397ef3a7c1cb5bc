"""Several renderings from one place become one: pixel by pixel, the nearer before the farther."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from scenekit.core.protocols import Rendering


def composed(parts: Sequence[Rendering]) -> Rendering:
    """Premultiplied renderings [1 H W ..] of one camera, blended front to back by each pixel's own depths.

    They are brought to where the first one is.
    A rendering without depth counts as farthest. What lies inside of something half transparent is taken to be
    before or behind all of it. Depth is there where every part has it, normals likewise.
    """
    if len(parts) == 1:
        return parts[0]
    parts = [_at(part, parts[0].color.device) for part in parts]
    opacity = torch.stack([part.opacity for part in parts])
    far = torch.full_like(opacity[0], torch.inf)
    distance = torch.stack([far if part.depth is None else part.depth for part in parts])
    order = torch.where(opacity > 0, distance, torch.inf).argsort(dim=0, stable=True)
    sorted_opacity = opacity.gather(0, order)
    through = torch.cat([torch.ones_like(opacity[:1]), (1 - sorted_opacity).cumprod(0)[:-1]])
    weights = torch.empty_like(through).scatter(0, order, through)
    total = (weights * opacity).sum(0)
    depths = [part.depth for part in parts if part.depth is not None]
    normals = [part.normals for part in parts if part.normals is not None]
    depth = None
    if len(depths) == len(parts):
        depth = (weights * opacity * torch.stack(depths)).sum(0) / total.clamp(min=1e-6)
    return Rendering(
        color=(weights[..., None] * torch.stack([part.color for part in parts])).sum(0),
        opacity=total,
        depth=depth,
        normals=(weights[..., None] * torch.stack(normals)).sum(0) if len(normals) == len(parts) else None,
    )


def _at(part: Rendering, device: torch.device) -> Rendering:
    """The picture on a device."""
    return Rendering(
        part.color.to(device),
        part.opacity.to(device),
        None if part.depth is None else part.depth.to(device),
        None if part.normals is None else part.normals.to(device),
    )
