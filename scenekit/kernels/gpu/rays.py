"""Launches of ``cuda/rays.cu``: a thread takes a ray."""

from __future__ import annotations

from torch import Tensor

from scenekit.kernels.gpu.compile import Source
from scenekit.kernels.gpu.launch import aligned, blocks_for, launch

THREADS = 128
SOURCE = Source.of("rays")


def pinhole_rays(
    world_from_camera: Tensor, intrinsics: Tensor, cameras: Tensor, positions: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Origins [R 3], directions [R 3], depth per unit of distance [R] and radii [R]."""
    poses, focal, cameras, positions = (aligned(x) for x in (world_from_camera, intrinsics, cameras, positions))
    count, new = len(cameras), positions.new_empty
    results = new(count, 3), new(count, 3), new(count), new(count)
    launch(SOURCE, "pinhole_rays", blocks_for(count, THREADS), THREADS, poses, focal, cameras, positions, count,
           *results)  # fmt: skip
    return results


def ray_cube(origins: Tensor, directions: Tensor, extent: float, nearest: float) -> tuple[Tensor, Tensor]:
    """Distances at which rays enter and leave [-extent, extent]^3, [R] each."""
    origins, directions = origins.contiguous(), directions.contiguous()
    count = len(origins)
    results = origins.new_empty(count), origins.new_empty(count)
    arguments = (origins, directions, count, float(extent), float(nearest), *results)
    launch(SOURCE, "ray_cube", blocks_for(count, THREADS), THREADS, *arguments)
    return results
