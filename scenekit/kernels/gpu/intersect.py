"""Launches of ``cuda/intersect.cu``: Gaussians are sorted by depth, then what they reach by tile alone."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from scenekit.kernels.depth_order import by_depth
from scenekit.kernels.gpu.compile import Source
from scenekit.kernels.gpu.launch import blocks_for, launch
from scenekit.kernels.gpu.splat_rows import stride, whole

THREADS = 256
TILE = 16
SHARE = 4096  # pairs of a block that sorts
COUNTING = 512  # blocks at most that count digits
MOST_BITS = 8  # that a pass of the sort looks at


def intersect(
    rows: Tensor, depths: Tensor, width: int, height: int, capacity: int, order: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    """The lists of all tiles, where each begins, and how many entries there are or would be.

    Reads nothing from the GPU but, where no capacity is given, that number.
    """
    rows, count, size = whole(rows), rows.shape[0], (width, height)
    tiles = -(-width // TILE) * -(-height // TILE)
    nearest_first = by_depth(depths, order)
    if capacity < 0:
        empty = _Scratch.of(nearest_first, tiles, count, 0)
        _walk(rows, nearest_first, size, tiles, empty, None, None)
        capacity = int(empty.needed)
    scratch = _Scratch.of(nearest_first, tiles, count, capacity)
    pairs = [_pairs(rows, tiles, capacity) for _ in range(2)]
    _walk(rows, nearest_first, size, tiles, scratch, *pairs[0])
    used, needed, (passes, bits), blocks = source(tiles), scratch.needed, plan(tiles), blocks_for(capacity, SHARE)
    counting = (pairs[0][0], needed, capacity, passes, scratch.histograms)
    launch(used, "intersect_histograms", min(blocks, COUNTING), THREADS, *counting)
    for number in range(passes):
        (found, unsorted), results = pairs
        where = (number * bits, scratch.histograms[number], scratch.sorting[number], number == passes - 1)
        launch(used, "intersect_sort", blocks, THREADS, found, unsorted, needed, capacity, *where, *results)
        pairs.reverse()
    offsets = nearest_first.new_empty(tiles + 1)
    ends = (pairs[0][0], needed, capacity, tiles, offsets)
    launch(used, "intersect_offsets", blocks_for(tiles + 1, THREADS), THREADS, *ends)
    return pairs[0][1], offsets, needed


@dataclass(frozen=True)
class _Scratch:
    """Zeros before: how many pairs there are; what blocks say to each other, in the walk and each pass of the sort."""

    needed: Tensor
    walking: Tensor
    sorting: Tensor
    histograms: Tensor

    @classmethod
    def of(cls, order: Tensor, tiles: int, count: int, capacity: int) -> _Scratch:
        """In one piece of memory."""
        passes, bits = plan(tiles)
        words = (1, 1 + blocks_for(count, THREADS), passes * (1 + blocks_for(capacity, SHARE) * 2**bits))
        needed, walking, sorting, histograms = order.new_zeros(sum(words) + passes * 2**bits).split(
            [*words, passes * 2**bits]
        )
        shape = (passes, -1)
        return cls(needed[0], walking, sorting.view(shape), histograms.view(shape))


def _pairs(rows: Tensor, tiles: int, room: int) -> tuple[Tensor, Tensor]:
    """Room for tiles and Gaussians."""
    index = torch.int16 if tiles <= 2**16 else torch.int32
    return rows.new_empty(room, dtype=index), rows.new_empty(room, dtype=torch.int32)


def _walk(
    rows: Tensor, order: Tensor, size: tuple[int, int], tiles: int, scratch: _Scratch, *pairs: Tensor | None
) -> None:
    """Find how many pairs there are, and write as many of them as have room."""
    count, room = rows.shape[0], 0 if pairs[0] is None else pairs[0].shape[0]
    arguments = (rows, stride(rows), order, count, *size, scratch.walking, *pairs, room, scratch.needed)
    launch(source(tiles), "intersect_walk", blocks_for(count, THREADS), THREADS, *arguments)


@cache
def plan(tiles: int) -> tuple[int, int]:
    """How many passes the sort takes, and how many bits of a tile's index each looks at."""
    bits = max(1, (tiles - 1).bit_length())
    passes = -(-bits // MOST_BITS)
    return passes, -(-bits // passes)


@cache
def source(tiles: int) -> Source:
    """By the type of a tile's index, and the bits of it that a pass looks at."""
    return Source.of("intersect", TILE_INDEX="unsigned short" if tiles <= 2**16 else "int", BITS=plan(tiles)[1])
