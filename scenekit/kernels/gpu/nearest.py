"""Launches of ``cuda/nearest.cu``: points are sorted by the cells of a grid, queries walk the cells about them."""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor

from scenekit.kernels.gpu.compile import Source
from scenekit.kernels.gpu.launch import blocks_for, launch

THREADS = 128
MOST = 16  # nearest points of a query, which stay in registers
MOST_ALONG = {2: 2048, 3: 128}  # cells along an axis, by the number of axes


def serves(queries: Tensor, points: Tensor, count: int) -> bool:
    """Whether the kernels have room for so many nearest points, axes, and names of points."""
    return queries.shape[1] in MOST_ALONG and count <= MOST and 0 < len(points) < 2**31


def nearest(queries: Tensor, points: Tensor, count: int) -> Tensor:
    """The ``count`` nearest points of every query [S count]; nothing is read from the GPU."""
    queries, points = queries.contiguous(), points.contiguous()
    total, dimensions = points.shape
    along = max(1, min(MOST_ALONG[dimensions], int((0.5 * total) ** (1 / dimensions))))
    used, every = source(dimensions, count), along**dimensions
    box = torch.stack(torch.aminmax(points, dim=0))
    cells = points.new_empty(total, dtype=torch.int32)
    launch(used, "nearest_cells", blocks_for(total, THREADS), THREADS, points, total, box, along, cells)
    cells, order = torch.sort(cells)
    places, begins = points.new_empty(total, 4), cells.new_empty(every + 1)
    sorting = (points, total, cells, order, every, places, begins)
    launch(used, "nearest_sorted", blocks_for(total + 1, THREADS), THREADS, *sorting)
    found = order.new_empty(len(queries), count)
    arguments = (queries, len(queries), box, along, places, begins, found)
    launch(used, "nearest", blocks_for(len(queries), THREADS), THREADS, *arguments)
    return found


@cache
def source(dimensions: int, count: int) -> Source:
    """By the number of axes, and of nearest points."""
    return Source.of("nearest", DIMENSIONS=dimensions, NEAREST=count)
