"""Launches of ``cuda/rasterize.cu`` and ``cuda/rasterize_backward.cu``."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torch import Tensor

from scenekit.kernels.gpu.compile import Source
from scenekit.kernels.gpu.launch import blocks_for, launch
from scenekit.kernels.gpu.splat_rows import stride, whole

TILE = 16
THREADS = 256
CHANNELS = (1, 3, 4, 8)  # other numbers run in the next larger one
WARPS = 8  # of a tile
FEATURES = 6


def rasterize(
    rows: Tensor, gaussians: Tensor, offsets: Tensor, channels: int, width: int, height: int
) -> tuple[Tensor, ...]:
    """Picture [H W D], opacities, transmittances and stops [H W]."""
    rows = _wide(rows, channels)
    image, one = rows.new_empty(height, width, channels), rows.new_empty(height, width)
    results = (image, one, torch.empty_like(one), torch.empty_like(one, dtype=torch.int32))
    lists = (gaussians.contiguous(), offsets.contiguous(), width, height, channels)
    launch(source(channels), "rasterize", _tiles(width, height), THREADS, rows, stride(rows), *lists, *results)
    return results


def rasterize_backward(*arguments: Any) -> Tensor:
    """The gradient to the rows; arguments as the op's.

    Sums over pixels are added up as they come, or in a fixed order where torch asks for deterministic algorithms: that
    takes 8 rows of memory for each intersection.
    """
    gradients, (given, gaussians, offsets), saved = arguments[:2], arguments[2:5], arguments[5:]
    height, width, channels = gradients[0].shape
    rows, gaussians = _wide(given, channels), gaussians.contiguous()
    lists = (gaussians, offsets.contiguous(), width, height, channels)
    tensors = [x.contiguous() for x in (*gradients, *saved)]
    used, tiles = source(channels, "rasterize_backward"), _tiles(width, height)
    sums = torch.zeros_like(rows)
    if not torch.are_deterministic_algorithms_enabled():
        launch(used, "rasterize_backward", tiles, THREADS, rows, stride(rows), *lists, *tensors, sums, None)
        return _narrow(sums, given)
    slots = rows.new_zeros(WARPS * gaussians.shape[0], rows.shape[1])
    launch(used, "rasterize_backward", tiles, THREADS, rows, stride(rows), *lists, *tensors, None, slots)
    count = rows.shape[0]
    ordered, order = torch.sort(gaussians, stable=True)
    starts = torch.searchsorted(ordered, torch.arange(count + 1, dtype=torch.int32, device=ordered.device))
    where = (count, stride(rows), slots, order, starts)
    launch(used, "rasterize_gather", blocks_for(count, THREADS), THREADS, *where, sums)
    return _narrow(sums, given)


@cache
def source(channels: int, file: str = "rasterize") -> Source:
    """Specialised by the number of channels."""
    return Source.of(file, CHANNELS=_width(channels))


def _width(channels: int) -> int:
    return next(width for width in CHANNELS if width >= channels)


def _wide(rows: Tensor, channels: int) -> Tensor:
    """Whole rows, with columns for as many channels as there are in the kernel."""
    missing = FEATURES + _width(channels) - rows.shape[1]
    return whole(torch.nn.functional.pad(rows, (0, missing)) if missing > 0 else rows)


def _narrow(sums: Tensor, rows: Tensor) -> Tensor:
    """The gradient without the columns that were added."""
    return sums if sums.shape == rows.shape else sums[:, : rows.shape[1]].contiguous()


def _tiles(width: int, height: int) -> int:
    return -(-width // TILE) * -(-height // TILE)
