"""Launches of ``cuda/grid.cu``, for grids of cubes and of simplices alike."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise

import torch
from torch import Tensor

from scenekit.kernels.gpu.compile import Source
from scenekit.kernels.gpu.launch import aligned, blocks_for, launch

THREADS = 128
SECTOR = 32  # bytes; a thread blends the levels whose features fill one
ENTRIES = (torch.float32, torch.float16, torch.bfloat16)  # of a table
MOST_FEATURES = 16
DIMENSIONS = {"hash_grid": range(1, 4), "simplex_grid": range(2, 7)}
Layout = tuple[Sequence[float], Sequence[int], Sequence[int]]


def takes(name: str, positions: Tensor, table: Tensor) -> bool:
    """Whether there are kernels for such tensors: rows are counted in 32 bits."""
    fits = table.shape[0] < 2**31 and 1 <= table.shape[1] <= MOST_FEATURES
    return fits and positions.shape[1] in DIMENSIONS[name]


def forward(name: str, positions: Tensor, table: Tensor, layout: Layout) -> Tensor:
    """Features [N LF] in the table's type."""
    positions, table = positions.float().contiguous(), aligned(table)
    (count, dimensions), features, levels = positions.shape, table.shape[1], len(layout[0])
    result = table.new_empty(count, levels * features)
    arguments = (positions, table, count, levels, packed(layout, dimensions, positions.device), result)
    launch(source(name, dimensions, features, table.dtype), "grid", _grid(count, levels, table), THREADS, *arguments)
    return result


def for_table(name: str, gradient: Tensor, positions: Tensor, table: Tensor, layout: Layout) -> Tensor:
    """Gradient of the table, added up in float32 in the order that threads arrive."""
    positions, gradient = positions.float().contiguous(), aligned(gradient)
    (count, dimensions), features, levels = positions.shape, table.shape[1], len(layout[0])
    result = torch.zeros(table.shape, dtype=torch.float32, device=table.device)
    arguments = (gradient, positions, count, levels, packed(layout, dimensions, positions.device), result)
    built = source(name, dimensions, features, table.dtype)
    launch(built, "grid_backward", _grid(count, levels, table), THREADS, *arguments)
    return result.to(table.dtype)


def for_positions(name: str, gradient: Tensor, positions: Tensor, table: Tensor, layout: Layout) -> Tensor:
    """Gradient [N D] of the points; no atomics."""
    points, gradient, table = positions.float().contiguous(), aligned(gradient), aligned(table)
    (count, dimensions), features, levels = points.shape, table.shape[1], len(layout[0])
    result = torch.empty_like(points)
    arguments = (gradient, points, table, count, levels, packed(layout, dimensions, points.device), result)
    built = source(name, dimensions, features, table.dtype)
    launch(built, "grid_slope", blocks_for(count, THREADS), THREADS, *arguments)
    return result.to(positions.dtype)


def source(name: str, dimensions: int, features: int, dtype: torch.dtype) -> Source:
    """Specialised by the kind of cells and the shape of points and rows."""
    simplices = int(name == "simplex_grid")
    return Source.of("grid", SIMPLICES=simplices, DIMENSIONS=dimensions, FEATURES=features, ENTRY=ENTRIES.index(dtype))


def _grid(count: int, levels: int, table: Tensor) -> tuple[int, int]:
    together = max(1, SECTOR // (table.shape[1] * table.element_size()))
    return blocks_for(count, THREADS), blocks_for(levels, together)


def packed(layout: Layout, dimensions: int, device: torch.device) -> Tensor:
    """Five numbers a level, int32 [L 5]: bits of the scale, resolution, rows, first row, whether hashed."""
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
    hashed = [int(r**dimensions > n) for r, n in zip(resolutions, rows, strict=True)]
    levels = list(zip(bits, resolutions, rows, offsets, hashed, strict=False))
    return torch.tensor(levels, dtype=torch.int32).to(device)
