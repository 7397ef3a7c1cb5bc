"""Launches of ``cuda/grid.cu`` and ``cuda/wide_grid.cu``, for grids of cubes and of simplices alike.

Of rows that are narrow, features and their gradient stand by feature: [LF N] in memory, seen as [N LF]. Of wide ones
they stand by point.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise

import torch
from torch import Tensor

from scenekit.kernels.gpu.compile import Source
from scenekit.kernels.gpu.launch import WARP, aligned, available, blocks_for, launch

THREADS = 256
ENTRIES = (torch.float32, torch.float16, torch.bfloat16)  # of a table
NARROW, MOST_FEATURES = 8, 64  # features of a row, at most: of one that a lane takes alone, of any
LANES = {"hash_grid": 2, "simplex_grid": 1}  # of a warp, that share a point of narrow rows in the forward pass
TAKEN, WALK = 1024, 16  # points of a block in the backward pass, and of a thread
POINTS, SLOPES = 256, 128  # points of a block where rows are wide: in both passes, and for gradients of points
DIMENSIONS = {"hash_grid": range(1, 4), "simplex_grid": range(2, 7)}
Layout = tuple[Sequence[float], Sequence[int], Sequence[int]]


def takes(name: str, positions: Tensor, table: Tensor) -> bool:
    """Whether there are kernels for such tensors: rows are counted in 32 bits."""
    fits = table.shape[0] < 2**31 and 1 <= table.shape[1] <= MOST_FEATURES
    return fits and positions.shape[1] in DIMENSIONS[name]


def by_feature(name: str, positions: Tensor, table: Tensor) -> bool:
    """Whether features of such tensors on a GPU are [LF N] in memory; the reference's are [N LF]."""
    served = available() and positions.dtype in ENTRIES and table.dtype in ENTRIES
    return served and takes(name, positions, table) and table.shape[1] <= NARROW


def forward(name: str, positions: Tensor, table: Tensor, layout: Layout) -> Tensor:
    """Features [N LF] in the table's type."""
    positions, table = positions.float().contiguous(), aligned(table)
    (count, dimensions), features, levels = positions.shape, table.shape[1], len(layout[0])
    given = (positions, table, count, levels, packed(layout, dimensions, positions.device))
    built = source(name, dimensions, features, table.dtype)
    if features > NARROW:
        result = table.new_empty(count, levels * features)
        launch(built, "wide_grid", (blocks_for(count, POINTS), levels), THREADS, *given, result)
        return result
    result, lanes = table.new_empty(levels * features, count), LANES[name]
    launch(built, "grid", (blocks_for(count * lanes, THREADS), blocks_for(levels, lanes)), THREADS, *given, result)
    return result.t()


def for_table(name: str, gradient: Tensor, positions: Tensor, table: Tensor, layout: Layout) -> Tensor:
    """Gradient of the table, added up in float32 in the order that threads arrive."""
    positions = positions.float().contiguous()
    (count, dimensions), features, levels = positions.shape, table.shape[1], len(layout[0])
    result = torch.zeros(table.shape, dtype=torch.float32, device=table.device)
    built, levels_at = source(name, dimensions, features, table.dtype), packed(layout, dimensions, positions.device)
    if features > NARROW:
        given = (aligned(gradient), positions, count, levels, levels_at, result)
        lanes = POINTS // WALK * (features // chunk(features))
        blocks, threads = (blocks_for(count, POINTS), levels), WARP * blocks_for(lanes, WARP)
        launch(built, "wide_grid_backward", blocks, threads, *given)
    else:
        given = (gradient.t().contiguous(), positions, count, levels_at, result)
        launch(built, "grid_backward", (blocks_for(count, TAKEN), levels), TAKEN // WALK, *given)
    return result.to(table.dtype)


def for_positions(name: str, gradient: Tensor, positions: Tensor, table: Tensor, layout: Layout) -> Tensor:
    """Gradient [N D] of the points; no atomics."""
    points, table, wide = positions.float().contiguous(), aligned(table), table.shape[1] > NARROW
    (count, dimensions), features, levels = points.shape, table.shape[1], len(layout[0])
    gradient, result = aligned(gradient) if wide else gradient.t().contiguous(), torch.empty_like(points)
    arguments = (gradient, points, table, count, levels, packed(layout, dimensions, points.device), result)
    built, blocks = source(name, dimensions, features, table.dtype), blocks_for(count, SLOPES if wide else THREADS)
    launch(built, "wide_grid_slope" if wide else "grid_slope", blocks, THREADS, *arguments)
    return result.to(positions.dtype)


def source(name: str, dimensions: int, features: int, dtype: torch.dtype) -> Source:
    """Specialised by the kind of cells and the shape of points and rows."""
    simplices, entry = int(name == "simplex_grid"), ENTRIES.index(dtype)
    shape = {"SIMPLICES": simplices, "DIMENSIONS": dimensions, "FEATURES": features, "ENTRY": entry}
    return Source.of("wide_grid", **shape) if features > NARROW else Source.of("grid", **shape, LANES=LANES[name])


def chunk(features: int) -> int:
    """Features that a lane moves at once, as in ``cuda/entries.cuh``."""
    return next(width for width in (4, 2, 1) if features % width == 0)


def packed(layout: Layout, dimensions: int, device: torch.device) -> Tensor:
    """Four numbers a level, int32 [L 4]: bits of the scale, resolution, rows; first row, below zero where hashed."""
    scales, resolutions, offsets = layout
    return _kept(tuple(scales), tuple(resolutions), tuple(offsets), dimensions, device)


@lru_cache(maxsize=64)
def _kept(
    scales: tuple[float, ...],
    resolutions: tuple[int, ...],
    offsets: tuple[int, ...],
    dimensions: int,
    device: torch.device,
) -> Tensor:
    rows = [b - a for a, b in pairwise(offsets)]
    bits = torch.tensor(scales, dtype=torch.float32).view(torch.int32).tolist()
    hashed = [r**dimensions > n for r, n in zip(resolutions, rows, strict=True)]
    marked = [first - 2**31 * is_hashed for first, is_hashed in zip(offsets, hashed, strict=False)]
    levels = list(zip(bits, resolutions, rows, marked, strict=True))
    return torch.tensor(levels, dtype=torch.int32).to(device)
