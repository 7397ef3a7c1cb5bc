"""Launches of ``cuda/trace_hash_grid.cu``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from scenekit.kernels.gpu import grids, march
from scenekit.kernels.gpu.compile import Source
from scenekit.kernels.gpu.launch import aligned, blocks_for, launch

WARPS = 8  # of a block
MOST_BLOCKS = 512  # those that find no ray left end at once
MOST_WIDTH = 256  # of a layer whose values lie in local memory
MOST_HALF_WIDTH = 64  # of one whose values are registers
MANY_RAYS = 2**17  # that keep a GPU busy one to a lane; fewer are followed by several lanes each
SQUARE = 512  # bytes


@dataclass(frozen=True)
class Field:
    """What is traced.

    Attributes:
        table: rows of all levels [E F], of any of the types that ``grids`` takes.
        layout: scales, resolutions and offsets.
        simplices: whether cells are.
        density: weights [out in] of the layers from the encoding to features.
        color: weights [out in] of the layers from features and harmonics to colours.
        numbers: log of the initial density, 1 / (2 extent), whether contracted, whether shaded.
    """

    table: Tensor
    layout: grids.Layout
    simplices: bool
    density: Sequence[Tensor]
    color: Sequence[Tensor]
    numbers: tuple[float, float, bool, bool]


def takes(field: Field) -> bool:
    """Whether the kernel has room for such networks."""
    widths = _widths(field.density) + _widths(field.color)
    return min(widths) > 0 and max(widths) <= MOST_WIDTH and 1 <= field.table.shape[1] <= grids.MOST_FEATURES


def trace(
    rays: Sequence[Tensor], cells: march.Cells, rule: Tensor, max_samples: int, field: Field, *, exact: bool
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Colours [R 3], opacities [R], distances [R] and samples [R] of ``rays``; as ``march.march`` takes them.

    Unless ``exact``, networks round what they multiply to half precision, where they are small enough for that.
    """
    rays, rule = [x.contiguous() for x in rays], rule.contiguous()
    near, count = rays[2], len(rays[2])
    exact = exact or not _in_halves(field)
    weights = torch.cat([weight.flatten() for weight in (*field.density, *field.color)])
    place = grids.packed(field.layout, 3, near.device)
    lanes = lanes_of(count)
    results = near.new_empty(count, 3), near.new_empty(count), near.new_empty(count)
    samples = torch.empty(count, dtype=torch.int64, device=near.device)
    next_ray = torch.zeros(1, dtype=torch.int64, device=near.device)
    steps = (*rays, count, max_samples, *cells, rule, len(rule))
    arguments = (*steps, aligned(field.table), place, weights, *field.numbers, lanes, next_ray, *results, samples)
    blocks = min(MOST_BLOCKS, blocks_for(count * lanes, 32 * WARPS))
    shared = 0 if exact else _shared(field)
    launch(source(field, exact=exact), "trace_hash_grid", blocks, 32 * WARPS, *arguments, shared=shared)
    return *results, samples


def source(field: Field, *, exact: bool) -> Source:
    """Specialised by the kind of cells, the table's rows and the networks' shape."""
    shape = {
        name: ",".join(map(str, _widths(weights)))
        for name, weights in (("DENSITY", field.density), ("COLOR", field.color))
    }
    entry = grids.ENTRIES.index(field.table.dtype)
    features, simplices = field.table.shape[1], int(field.simplices)
    return Source.of("trace_hash_grid", SIMPLICES=simplices, FEATURES=features, ENTRY=entry, EXACT=int(exact), **shape)


def lanes_of(rays: int) -> int:
    """How many lanes follow a ray: a power of two, so many that a GPU has enough to do."""
    lanes = 1
    while lanes < 32 and rays * lanes < MANY_RAYS:
        lanes *= 2
    return lanes


def _in_halves(field: Field) -> bool:
    """Whether networks fit the registers of a warp, and levels the squares of shared memory."""
    widths = _widths(field.density) + _widths(field.color)
    return max(widths) <= MOST_HALF_WIDTH and 16 % field.table.shape[1] == 0


def _shared(field: Field) -> int:
    """Bytes for the weights of all layers, and for each warp's encodings and harmonics."""
    density, color = _widths(field.density), _widths(field.color)
    harmonics = _squares(color[0] - density[-1])
    inputs = [*map(_squares, density[:-1]), _squares(density[-1]) + harmonics, *map(_squares, color[1:-1])]
    outputs = map(_squares, density[1:] + color[1:])
    weights = sum(a * b for a, b in zip(inputs, outputs, strict=True))
    return SQUARE * (weights + WARPS * 2 * (_squares(density[0]) + harmonics))


def _squares(width: int) -> int:
    return -(-width // 16)


def _widths(weights: Sequence[Tensor]) -> list[int]:
    return [weights[0].shape[1], *(weight.shape[0] for weight in weights)]
