"""Launches of ``cuda/rasterize.cu`` and ``cuda/rasterize_backward.cu``."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from scenekit.kernels.gpu.compile import Source
from scenekit.kernels.gpu.launch import aligned, blocks_for, launch

TILE = 16
THREADS = 256
CHANNELS = (1, 3, 4, 8)  # other numbers run in the next larger one
WARPS = 8  # of a tile


def rasterize(*arguments: Any) -> tuple[Tensor, Tensor, Tensor]:
    """Picture [H W D], transmittances [H W] and stops [H W]; arguments as the op's."""
    splats, (gaussians, offsets, width, height) = arguments[:4], arguments[4:]
    channels = splats[3].shape[1]
    packed = _packed(splats)
    image = packed.new_empty(height, width, channels)
    transmittances, stops = image.new_empty(height, width), image.new_empty(height, width, dtype=torch.int32)
    lists = (gaussians.contiguous(), offsets.contiguous(), width, height, channels)
    results = (image, transmittances, stops)
    launch(source(channels), "rasterize", _tiles(width, height), THREADS, packed, *lists, *results)
    return results


def rasterize_backward(*arguments: Any) -> tuple[Tensor, ...]:
    """Gradients to the four tensors of splats; arguments as the op's.

    Sums over pixels are added up as they come, or in a fixed order where torch asks for deterministic algorithms: that
    takes 8 rows of memory for each intersection.
    """
    gradients, splats, (gaussians, offsets, *saved) = arguments[:2], arguments[2:6], arguments[6:]
    count, channels = splats[3].shape
    height, width = saved[0].shape
    packed, gaussians = _packed(splats), gaussians.contiguous()
    row = 4 * (packed.shape[1] // 4 - 1)
    sums, slots, order, starts = packed.new_zeros(count, row), None, None, None
    if torch.are_deterministic_algorithms_enabled():
        slots = packed.new_zeros(WARPS * gaussians.shape[0], row)
        ordered, order = torch.sort(gaussians, stable=True)
        starts = torch.searchsorted(ordered, torch.arange(count + 1, dtype=torch.int32, device=ordered.device))
    lists = (gaussians, offsets.contiguous(), width, height, channels)
    given = [x.contiguous() for x in (*gradients, *saved)]
    used = source(channels, "rasterize_backward")
    launch(used, "rasterize_backward", _tiles(width, height), THREADS, packed, *lists, *given, sums, slots)
    results = tuple(x.new_empty(x.shape) for x in splats)
    ends = (splats[1].contiguous(), splats[2].contiguous(), count, channels, sums, slots, order, starts)
    launch(used, "rasterize_conclude", blocks_for(count, THREADS), THREADS, *ends, *results)
    return results


def source(channels: int, file: str = "rasterize") -> Source:
    """Specialised by the number of channels."""
    return Source.of(file, CHANNELS=_width(channels))


def _width(channels: int) -> int:
    return next(width for width in CHANNELS if width >= channels)


def _tiles(width: int, height: int) -> int:
    return -(-width // TILE) * -(-height // TILE)


def _packed(splats: tuple[Tensor, ...]) -> Tensor:
    """What a tile reads of each splat, in a row of whole float4."""
    count, channels = splats[3].shape
    packed = splats[3].new_empty(count, 4 * ((6 + _width(channels) + 3) // 4 + 1))
    inputs = [aligned(x) for x in splats]
    launch(source(channels), "rasterize_pack", blocks_for(count, THREADS), THREADS, *inputs, count, channels, packed)
    return packed
