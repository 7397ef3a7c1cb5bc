"""Launches of ``cuda/march.cu``: pack cells; count, add up, write."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from scenekit.kernels.gpu.compile import Source
from scenekit.kernels.gpu.launch import blocks_for, launch

THREADS = 128
BOXES = 2  # words of words that a block packs
LANES = 32  # that share a ray: random rays of fewer lanes wait for each other
SOURCE = Source.of("march")


class PackedCells(NamedTuple):
    """Bits of K cascades of G^3 cells, as kernels take them."""

    words: Tensor
    cascades: int
    grid: int


def march(
    rays: Sequence[Tensor], cells: PackedCells, rule: Tensor, max_samples: int, capacity: int, counts: Tensor | None
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Distances [S], deltas [S], offsets [R + 1], samples needed, rays left out, owners [S].

    ``rays`` are origins, directions, near, far, jitter. Without a capacity, which is then negative, waits for the GPU
    once, to learn S: the results have that size, the last two none.
    """
    rays, rule = [x.contiguous() for x in rays], rule.contiguous()
    count, near = len(rays[0]), rays[2]
    blocks = blocks_for(count * LANES, THREADS)
    given = (*rays, count, *cells, rule, len(rule), max_samples, LANES)
    if counts is None:
        counts = torch.empty(count, dtype=torch.int64, device=near.device)
        launch(SOURCE, "march_count", blocks, THREADS, *given, counts)
    ends = counts.cumsum(0)
    room = capacity if capacity >= 0 else int(ends[-1]) if count else 0
    distances, deltas = (near.new_empty(room) for _ in range(2))
    offsets, needed = (torch.empty(n, dtype=torch.int64, device=near.device) for n in (count + 1, ()))
    told, kept = (count, room) if capacity >= 0 else (0, 0)
    left_out = torch.empty(told, dtype=torch.bool, device=near.device)
    owners = torch.empty(kept, dtype=torch.int64, device=near.device)
    optional = (left_out, owners) if capacity >= 0 else (None, None)
    places = (ends, room, distances, deltas, offsets, needed, *optional)
    launch(SOURCE, "march", max(1, blocks), THREADS, *given, *places)
    return distances, deltas, offsets, needed, left_out, owners


def pack_cells(occupied: Tensor) -> Tensor:
    """Words of [K G G G] cells, then words of words."""
    cascades, grid = occupied.shape[:2]
    fine, coarse = cascades * blocks_of(grid) ** 3, cascades * boxes_of(grid) ** 3
    words = torch.empty(fine + coarse, dtype=torch.int64, device=occupied.device)
    arguments = (occupied.contiguous(), cascades, grid, words)
    launch(SOURCE, "pack_cells", blocks_for(coarse, BOXES), THREADS, *arguments)
    return words


def blocks_of(grid: int) -> int:
    """Words along a side of ``grid`` cells."""
    return -(-grid // 4)


def boxes_of(grid: int) -> int:
    """Words of words along it."""
    return -(-grid // 16)
