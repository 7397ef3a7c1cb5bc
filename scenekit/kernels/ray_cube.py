"""Where rays cross a cube about the origin."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from scenekit.core.checks import check_same_kind, check_shape
from scenekit.kernels.gpu import rays as gpu
from scenekit.kernels.op import register


def ray_cube(
    origins: Float[Tensor, "R 3"], directions: Float[Tensor, "R 3"], extent: float, nearest: float = 0.0
) -> tuple[Float[Tensor, " R"], Float[Tensor, " R"]]:
    """Distances at which rays enter (at least ``nearest``) and leave [-extent, extent]^3; a miss has far <= near.

    Not differentiable. Raises ValueError for a wrong shape, TypeError where dtypes or devices differ.
    """
    sizes: dict[str, int] = {}
    check_shape("origins", origins, ("R", 3), sizes)
    check_shape("directions", directions, ("R", 3), sizes)
    check_same_kind("origins", origins, directions=directions)
    return RAY_CUBE(origins.detach(), directions.detach(), extent, nearest)


def _reference(origins: Tensor, directions: Tensor, extent: float, nearest: float) -> tuple[Tensor, Tensor]:
    inverse = 1 / directions
    low, high = (-extent - origins) * inverse, (extent - origins) * inverse
    # A ray along a face divides 0 by 0: along an axis that it does not move, only the origin counts.
    still, inside = directions == 0, origins.abs() <= extent
    enters = torch.where(still, torch.where(inside, -math.inf, math.inf), torch.minimum(low, high))
    leaves = torch.where(still, torch.where(inside, math.inf, -math.inf), torch.maximum(low, high))
    near = enters.amax(-1).clamp(min=0)
    far = leaves.amin(-1)
    return torch.where(near < far, near, 0).clamp(min=nearest), torch.where(near < far, far, 0)


def _fake(origins: Tensor, directions: Tensor, extent: float, nearest: float) -> tuple[Tensor, Tensor]:
    return origins.new_empty(len(origins)), origins.new_empty(len(origins))


RAY_CUBE = register(
    "ray_cube(Tensor origins, Tensor directions, float extent, float nearest) -> (Tensor near, Tensor far)",
    _reference,
    fake=_fake,
    cuda=gpu.ray_cube,
)
