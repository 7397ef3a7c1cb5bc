"""Launches of ``cuda/march.cu``: count, add up, write."""

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


class Cells(NamedTuple):
    """Bits of K cascades of G^3 cells, as kernels take them: a word for 4^3 cells, and one for 4^3 of those words."""

    fine: Tensor
    coarse: Tensor
    cascades: int
    grid: int


def march(
    rays: Sequence[Tensor], cells: Cells, rule: Tensor, max_samples: int, capacity: int, counts: Tensor | None
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Distances [S], deltas [S], offsets [R + 1], samples needed and rays left out.

    ``rays`` are origins, directions, near, far, jitter. Without a capacity, which is then negative, waits for the GPU
    once, to learn S: the results have that size.
    """
    rays, rule = [x.contiguous() for x in rays], rule.contiguous()
    count, near = len(rays[0]), rays[2]
    blocks = blocks_for(count * LANES, THREADS)
    given = (*rays, count, *cells, rule, len(rule), max_samples, LANES)
    if counts is None:
        counts = torch.empty(count, dtype=torch.int64, device=near.device)
        launch(SOURCE, "march_count", blocks, THREADS, *given, counts)
    ends = counts.cumsum(0)
    needed = ends[-1].clone() if count else ends.sum()
    room = int(needed) if capacity < 0 else capacity
    distances, deltas = (near.new_empty(room) for _ in range(2))
    offsets = torch.empty(count + 1, dtype=torch.int64, device=near.device)
    left_out = torch.empty(count if capacity >= 0 else 0, dtype=torch.bool, device=near.device)
    places = (ends, room, distances, deltas, offsets, left_out if capacity >= 0 else None)
    launch(SOURCE, "march", max(1, blocks), THREADS, *given, *places)
    return distances, deltas, offsets, needed, left_out


def packed_cells(occupancy: Tensor) -> Cells:
    """Of ``occupancy`` [K G G G], bool."""
    cascades, grid = occupancy.shape[:2]
    blocks, boxes = -(-grid // 4), -(-grid // 16)
    fine = torch.empty(cascades * blocks**3, dtype=torch.int64, device=occupancy.device)
    coarse = torch.empty(cascades * boxes**3, dtype=torch.int64, device=occupancy.device)
    arguments = (occupancy.contiguous(), cascades, grid, fine, coarse)
    launch(SOURCE, "pack_cells", blocks_for(len(coarse), BOXES), THREADS, *arguments)
    return Cells(fine, coarse, cascades, grid)
