"""Launches of ``cuda/intersect.cu``: Gaussians are sorted by depth, then what they reach by tile alone."""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor

from scenekit.kernels.gpu.compile import Source
from scenekit.kernels.gpu.launch import blocks_for, launch
from scenekit.kernels.gpu.splat_rows import stride, whole

THREADS = 256
TILE = 16


def intersect(rows: Tensor, depths: Tensor, width: int, height: int, capacity: int) -> tuple[Tensor, Tensor, Tensor]:
    """The lists of all tiles, where each begins, and how many entries there are or would be.

    Reads nothing from the GPU but, where no capacity is given, that number.
    """
    tiles = -(-width // TILE) * -(-height // TILE)
    used, index = source(tiles), torch.int16 if _short(tiles) else torch.int32
    order = torch.sort(depths, stable=True).indices
    if capacity < 0:
        capacity = int(_walked(used, rows, order, (width, height), None, None))
    found = torch.full((capacity,), tiles, dtype=index, device=rows.device)
    unsorted = rows.new_empty(capacity, dtype=torch.int32)
    needed = _walked(used, rows, order, (width, height), found, unsorted)
    by_tile = torch.sort(found, stable=True)
    gaussians = torch.empty_like(unsorted)
    offsets = rows.new_empty(tiles + 1, dtype=torch.int64)
    lists = (by_tile.values, by_tile.indices, unsorted, capacity, tiles, gaussians, offsets)
    launch(used, "intersect_lists", blocks_for(capacity + 1, THREADS), THREADS, *lists)
    return gaussians, offsets, needed


def _walked(
    used: Source, rows: Tensor, order: Tensor, size: tuple[int, int], found: Tensor | None, unsorted: Tensor | None
) -> Tensor:
    """How many pairs there are; as many of them as have room are written, tiles to ``found``."""
    rows, count = whole(rows), rows.shape[0]
    blocks = blocks_for(count, THREADS)
    said = order.new_zeros(2 + blocks)  # the last is the result
    room = 0 if found is None else found.shape[0]
    pairs = (said[: 1 + blocks], found, unsorted, room, said[1 + blocks :])
    launch(used, "intersect_walk", blocks, THREADS, rows, stride(rows), order, count, *size, *pairs)
    return said[1 + blocks]


@cache
def source(tiles: int) -> Source:
    """By the type of a tile's index: a radix sort takes half as long over 16 bits as over 32."""
    return Source.of("intersect", TILE_INDEX="short" if _short(tiles) else "int")


def _short(tiles: int) -> bool:
    return tiles <= torch.iinfo(torch.int16).max
