"""Launches of ``cuda/march.cu``: count, add up, write."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor

from scenekit.kernels.gpu.compile import Source
from scenekit.kernels.gpu.launch import blocks_for, launch

THREADS = 128
SOURCE = Source.of("march")


def march(
    rays: Sequence[Tensor], occupancy: Tensor, rule: tuple[Tensor, Tensor], max_samples: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Distances [S], deltas [S] and offsets [R + 1] of ``rays``: origins, directions, near, far, jitter.

    ``rule`` as ``packed_rule`` gives it. Waits for the GPU once, to learn S: the op's results have that size.
    """
    rays = [x.contiguous() for x in rays]
    count, near = len(rays[0]), rays[2]
    offsets = torch.zeros(count + 1, dtype=torch.int64, device=near.device)
    fixed = (*rays, count, *packed_cells(occupancy), *occupancy.shape[:2], *on_device(rule, near.device))
    fixed = (*fixed, rule[1].numel(), max_samples)
    counts = torch.empty(count, dtype=torch.int64, device=near.device)
    launch(SOURCE, "march", blocks_for(count, THREADS), THREADS, *fixed, counts, None, None)
    torch.cumsum(counts, 0, out=offsets[1:])
    distances, deltas = (near.new_empty(int(offsets[-1])) for _ in range(2))
    if len(distances):
        launch(SOURCE, "march", blocks_for(count, THREADS), THREADS, *fixed, offsets, distances, deltas)
    return distances, deltas, offsets


def packed_cells(occupancy: Tensor) -> tuple[Tensor, Tensor]:
    """Bits of [K G G G] cells: a word for 4^3 cells, and one for 4^3 of those words."""
    cascades, grid = occupancy.shape[:2]
    blocks, boxes = -(-grid // 4), -(-grid // 16)
    fine = torch.empty(cascades * blocks**3, dtype=torch.int64, device=occupancy.device)
    coarse = torch.zeros(cascades * boxes**3, dtype=torch.int64, device=occupancy.device)
    arguments = (occupancy.contiguous(), cascades, grid, fine, coarse)
    launch(SOURCE, "pack_cells", blocks_for(len(fine), THREADS), THREADS, *arguments)
    return fine, coarse


def on_device(rule: tuple[Tensor, Tensor], device: torch.device) -> tuple[Tensor, Tensor]:
    """The rule where kernels read it, copied once."""
    constants, powers = (tuple(x.tolist()) for x in rule)
    return _kept(constants, device), _kept(powers, device)


@lru_cache(maxsize=64)
def _kept(numbers: tuple[float, ...], device: torch.device) -> Tensor:
    return torch.tensor(numbers, dtype=torch.float32).to(device)
