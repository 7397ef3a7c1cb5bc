"""The rays of pinholes: direction ``R [(u - cx) / fx, (v - cy) / fy, 1]`` from the camera's centre, through pixels."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from scenekit.core.checks import check_same_kind, check_shape
from scenekit.kernels.gpu import rays as gpu
from scenekit.kernels.op import below_autograd, once_differentiable, register


class PinholeRays(NamedTuple):
    """R rays.

    Attributes:
        origins, directions: directions have unit length.
        z_per_distance: depth along the camera's z for each unit of distance.
        radii: radius of the pixel's footprint per unit of distance.
    """

    origins: Float[Tensor, "R 3"]
    directions: Float[Tensor, "R 3"]
    z_per_distance: Float[Tensor, " R"]
    radii: Float[Tensor, " R"]


def pinhole_rays(
    world_from_camera: Float[Tensor, "C 3 4"],
    intrinsics: Float[Tensor, "C 4"],
    cameras: Int[Tensor, " R"],
    positions: Float[Tensor, "R 2"],
) -> PinholeRays:
    """Cast a ray from camera ``cameras`` [R] (int64) through the point ``positions`` [R 2] of its image, in pixels.

    Differentiable in poses and intrinsics. Raises ValueError for a wrong shape or type, TypeError for other dtypes.
    """
    sizes: dict[str, int] = {}
    check_shape("world_from_camera", world_from_camera, ("C", 3, 4), sizes)
    check_shape("intrinsics", intrinsics, ("C", 4), sizes)
    check_shape("cameras", cameras, ("R",), sizes)
    check_shape("positions", positions, ("R", 2), sizes)
    check_same_kind("world_from_camera", world_from_camera, intrinsics=intrinsics, positions=positions)
    if cameras.dtype != torch.int64:
        raise ValueError(f"cameras: wanted int64, found {cameras.dtype}")
    return PinholeRays(*PINHOLE_RAYS(world_from_camera, intrinsics, cameras, positions))


def _reference(
    world_from_camera: Tensor, intrinsics: Tensor, cameras: Tensor, positions: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    fx, fy, _, _ = focal = intrinsics[cameras].unbind(-1)
    local = _in_camera(focal, positions)
    length = local.square().sum(-1).sqrt()
    pose = world_from_camera[cameras]
    directions = (pose[..., :3] * local[..., None, :]).sum(-1) / length[..., None]
    # A unit pixel has the area of a disc of radius 1 / sqrt(pi); fx and fy differ little.
    radii = (torch.pi * fx * fy).rsqrt() / length
    return pose[..., 3].contiguous(), directions, 1 / length, radii


def _in_camera(intrinsics: tuple[Tensor, ...], positions: Tensor) -> Tensor:
    """Points at depth 1 [R 3]."""
    fx, fy, cx, cy = intrinsics
    u, v = positions.unbind(-1)
    return torch.stack([(u - cx) / fx, (v - cy) / fy, torch.ones_like(u)], -1)


class _PinholeRays(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *arguments: Tensor) -> tuple[Tensor, ...]:
        found = below_autograd("pinhole_rays", *arguments)
        ctx.save_for_backward(*arguments, *found[1:])
        return found

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        poses, intrinsics, cameras, positions, directions, along, radii = ctx.saved_tensors
        for_origins, for_directions, for_along, for_radii = gradients
        focal = intrinsics[cameras].unbind(-1)
        unit = _in_camera(focal, positions) * along[:, None]  # the direction in the camera's frame
        to_poses, to_intrinsics = ctx.needs_input_grad[:2]
        for_poses = for_intrinsics = None
        if to_poses:
            turns = for_directions[:, :, None] * unit[:, None]
            each = torch.cat([turns, for_origins[..., None]], -1)
            for_poses = torch.zeros_like(poses).index_add_(0, cameras, each)
        if to_intrinsics:
            fx, fy = focal[:2]
            turned = (poses[cameras][..., :3] * for_directions[..., None]).sum(-2)
            shrinking = (for_directions * directions).sum(-1) + for_along * along + for_radii * radii
            for_x, for_y = ((turned - shrinking[:, None] * unit) * along[:, None])[:, :2].unbind(-1)
            scaled_x, scaled_y = for_x / fx, for_y / fy
            x, y = (unit / along[:, None])[:, :2].unbind(-1)
            half = for_radii * radii / 2
            each = torch.stack([-scaled_x * x - half / fx, -scaled_y * y - half / fy, -scaled_x, -scaled_y], -1)
            for_intrinsics = torch.zeros_like(intrinsics).index_add_(0, cameras, each)
        return for_poses, for_intrinsics, None, None


def _fake(
    world_from_camera: Tensor, intrinsics: Tensor, cameras: Tensor, positions: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    rays, new = len(cameras), positions.new_empty
    return new(rays, 3), new(rays, 3), new(rays), new(rays)


PINHOLE_RAYS = register(
    "pinhole_rays(Tensor world_from_camera, Tensor intrinsics, Tensor cameras, Tensor positions) "
    "-> (Tensor origins, Tensor directions, Tensor z_per_distance, Tensor radii)",
    _reference,
    fake=_fake,
    cuda=gpu.pinhole_rays,
    autograd=_PinholeRays,
)
