"""Launches of ``cuda/neighbourhood_means.cu``: along rows, which go on around the sides, then along columns."""

from __future__ import annotations

import torch
from torch import Tensor

from scenekit.kernels.gpu.compile import Source
from scenekit.kernels.gpu.launch import blocks_for, launch

THREADS = 256
SEGMENT = 64  # cells that a thread writes
SOURCE = Source.of("neighbourhood_means")


def neighbourhood_means(grid: Tensor, radius: int) -> Tensor:
    """Means over ``2 radius + 1`` cells a side [H W C]."""
    grid = grid.contiguous()
    height, width, channels = grid.shape
    across = _along(grid, (height, width, channels), radius, wraps=True)
    return _along(across, (1, height, width * channels), radius, wraps=False)


def _along(grid: Tensor, shape: tuple[int, int, int], radius: int, *, wraps: bool) -> Tensor:
    """Means along the middle axis of ``grid`` seen as ``shape``."""
    outer, length, inner = shape
    result = torch.empty_like(grid)
    threads = outer * blocks_for(length, SEGMENT) * inner
    arguments = (grid, *shape, radius, wraps, result)
    launch(SOURCE, "neighbourhood_means", blocks_for(threads, THREADS), THREADS, *arguments)
    return result
