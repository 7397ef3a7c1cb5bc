"""Samples of rays as points in space: ``origin + distance * direction`` of the ray that owns each."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from scenekit.core.checks import check_same_kind, check_shape
from scenekit.kernels.gpu import ray_points as gpu
from scenekit.kernels.op import below_autograd, once_differentiable, register


def ray_points(
    origins: Float[Tensor, "R 3"],
    directions: Float[Tensor, "R 3"],
    owners: Int[Tensor, " S"],
    distances: Float[Tensor, " S"],
) -> tuple[Float[Tensor, "S 3"], Float[Tensor, "S 3"]]:
    """Positions of samples, and the directions of their rays; ``owners`` (int64) say whose each sample is.

    Differentiable in origins and directions. Raises ValueError for a wrong shape or type, TypeError for other dtypes.
    """
    sizes: dict[str, int] = {}
    check_shape("origins", origins, ("R", 3), sizes)
    check_shape("directions", directions, ("R", 3), sizes)
    check_shape("owners", owners, ("S",), sizes)
    check_shape("distances", distances, ("S",), sizes)
    check_same_kind("origins", origins, directions=directions, distances=distances)
    if owners.dtype != torch.int64:
        raise ValueError(f"owners: wanted int64, found {owners.dtype}")
    return RAY_POINTS(origins, directions, owners, distances)


def _reference(origins: Tensor, directions: Tensor, owners: Tensor, distances: Tensor) -> tuple[Tensor, Tensor]:
    along = directions[owners]
    return torch.addcmul(origins[owners], along, distances[:, None]), along


def _fake(origins: Tensor, directions: Tensor, owners: Tensor, distances: Tensor) -> tuple[Tensor, Tensor]:
    return origins.new_empty(len(owners), 3), origins.new_empty(len(owners), 3)


class _RayPoints(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *arguments: Tensor) -> tuple[Tensor, Tensor]:
        origins, _, owners, distances = arguments
        ctx.save_for_backward(owners, distances)
        ctx.rays = origins.shape
        return below_autograd("ray_points", *arguments)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None, None]:
        owners, distances = ctx.saved_tensors
        there, along = gradients
        for_origins = there.new_zeros(ctx.rays).index_add_(0, owners, there)
        for_directions = there.new_zeros(ctx.rays).index_add_(
            0, owners, torch.addcmul(along, there, distances[:, None])
        )
        return for_origins, for_directions, None, None


RAY_POINTS = register(
    "ray_points(Tensor origins, Tensor directions, Tensor owners, Tensor distances) -> (Tensor, Tensor)",
    _reference,
    fake=_fake,
    cuda=gpu.ray_points,
    autograd=_RayPoints,
)
