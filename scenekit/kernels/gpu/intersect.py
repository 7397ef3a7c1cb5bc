"""Launches of ``cuda/intersect.cu``: Gaussians are sorted by depth, then what they reach by tile alone."""

from __future__ import annotations

import torch
from torch import Tensor

from scenekit.kernels.gpu.compile import Source
from scenekit.kernels.gpu.launch import blocks_for, launch

THREADS = 256
TILE = 16


def intersect(
    means2d: Tensor,
    radii: Tensor,
    conics: Tensor,
    opacities: Tensor,
    depths: Tensor,
    width: int,
    height: int,
    capacity: int,
) -> tuple[Tensor, Tensor, Tensor]:
    """The lists of all tiles, where each begins, and how many entries there are or would be.

    Reads nothing from the GPU but, where no capacity is given, that number.
    """
    count, tiles = means2d.shape[0], -(-width // TILE) * -(-height // TILE)
    used, index = source(tiles), torch.int16 if _short(tiles) else torch.int32
    splats = [x.contiguous() for x in (means2d, conics, opacities, radii)]
    common = (*splats, count, width, height)
    blocks = blocks_for(count, THREADS)
    counts = means2d.new_empty(count, dtype=torch.int32)
    launch(used, "intersect_walk", blocks, THREADS, *common, None, None, counts, None, None, 0)
    order = torch.sort(depths, stable=True).indices
    ends = counts[order].cumsum(0)
    needed = ends[-1].clone() if count else ends.sum()
    pairs = int(needed) if capacity < 0 else capacity
    found = torch.full((pairs,), tiles, dtype=index, device=means2d.device)
    unsorted = means2d.new_empty(pairs, dtype=torch.int32)
    if pairs:
        launch(used, "intersect_walk", blocks, THREADS, *common, order, ends, None, found, unsorted, pairs)
    by_tile = torch.sort(found, stable=True)
    gaussians = torch.empty_like(unsorted)
    offsets = means2d.new_empty(tiles + 1, dtype=torch.int64)
    lists = (by_tile.values, by_tile.indices, unsorted, pairs, tiles, gaussians, offsets)
    launch(used, "intersect_lists", blocks_for(pairs + 1, THREADS), THREADS, *lists)
    return gaussians, offsets, needed


def source(tiles: int) -> Source:
    """By the type of a tile's index: a radix sort takes half as long over 16 bits as over 32."""
    return Source.of("intersect", TILE_INDEX="short" if _short(tiles) else "int")


def _short(tiles: int) -> bool:
    return tiles <= torch.iinfo(torch.int16).max
