"""Equirectangular pictures: rows go from +z to -z, the middle looks along +x, its right towards -y."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor


def equirectangular_directions(positions: Float[Tensor, "S 2"]) -> Float[Tensor, "S 3"]:
    """Unit directions of places (u, v) in [0, 1]^2 from the picture's top left."""
    u, v = positions.unbind(-1)
    azimuth, polar = (2 * u - 1) * math.pi, v * math.pi
    return torch.stack([polar.sin() * azimuth.cos(), -polar.sin() * azimuth.sin(), polar.cos()], -1)


def equirectangular_positions(directions: Float[Tensor, "S 3"]) -> Float[Tensor, "S 2"]:
    """Undo :func:`equirectangular_directions`, for directions of any length but zero."""
    x, y, z = directions.unbind(-1)
    azimuth = torch.atan2(-y, x)
    polar = torch.atan2(torch.hypot(x, y), z)
    return torch.stack([azimuth / (2 * math.pi) + 0.5, polar / math.pi], -1)
