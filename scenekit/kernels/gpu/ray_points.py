"""Launches of ``cuda/ray_points.cu``."""

from __future__ import annotations

from torch import Tensor

from scenekit.kernels.gpu.compile import Source
from scenekit.kernels.gpu.launch import blocks_for, launch

THREADS = 256
SOURCE = Source.of("ray_points")


def ray_points(origins: Tensor, directions: Tensor, owners: Tensor, distances: Tensor) -> tuple[Tensor, Tensor]:
    """Positions [S 3] and directions [S 3] of samples."""
    inputs = [x.contiguous() for x in (origins, directions, owners, distances)]
    count = len(owners)
    results = origins.new_empty(count, 3), origins.new_empty(count, 3)
    launch(SOURCE, "ray_points", blocks_for(count, THREADS), THREADS, *inputs, count, *results)
    return results
