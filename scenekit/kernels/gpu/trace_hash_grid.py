"""Launches of ``cuda/trace_hash_grid.cu``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from scenekit.kernels.gpu import grids, march, mlp
from scenekit.kernels.gpu.compile import Source
from scenekit.kernels.gpu.launch import aligned, blocks_for, launch

TILE = mlp.TILE  # rays that a block follows at once
MOST_BLOCKS = 1024
MOST_CHANNELS = 256  # of all buffers of activations: 64 KiB, which every GPU has


@dataclass(frozen=True)
class Field:
    """What is traced.

    Attributes:
        table: rows of all levels [E F].
        layout: scales, resolutions and offsets.
        simplices: whether cells are.
        density: weights [out in] of the layers from the encoding to features.
        color: weights [out in] of the layers from features and harmonics to colours.
        degree: of the harmonics.
        numbers: log of the initial density, 1 / (2 extent), whether contracted, whether shaded.
    """

    table: Tensor
    layout: grids.Layout
    simplices: bool
    density: Sequence[Tensor]
    color: Sequence[Tensor]
    degree: int
    numbers: tuple[float, float, bool, bool]


def takes(field: Field) -> bool:
    """Whether the kernel has room for such networks."""
    widths = [*_widths(field.density), *_widths(field.color)]
    fits = min(widths) > 0 and 2 * _room(field) + _shading_room(field) + 4 <= MOST_CHANNELS
    return fits and 1 <= field.table.shape[1] <= grids.MOST_FEATURES


def trace(
    rays: Sequence[Tensor], cells: march.Cells, rule: Tensor, max_samples: int, field: Field
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Colours [R 3], opacities [R], distances [R] and samples [R] of ``rays``; as ``march.march`` takes them."""
    rays, rule = [x.contiguous() for x in rays], rule.contiguous()
    near, count = rays[2], len(rays[2])
    density, color = (_packed(weights) for weights in (field.density, field.color))
    table = (aligned(field.table), len(field.layout[0]), grids.packed(field.layout, 3, near.device))
    networks = (density.widths, len(field.density), density.forward, color.widths, len(field.color), color.forward)
    room, shading = _room(field), _shading_room(field)
    next_ray = torch.zeros(1, dtype=torch.int64, device=near.device)
    results = near.new_empty(count, 3), near.new_empty(count), near.new_empty(count)
    samples = torch.empty(count, dtype=torch.int64, device=near.device)
    arguments = (*rays, count, max_samples, *cells, rule, len(rule), *table, *networks, *field.numbers, room, shading)
    blocks = min(MOST_BLOCKS, blocks_for(count, TILE))
    built = source(field.simplices, field.degree, field.table.shape[1])
    shared = (2 * room + shading + 4) * TILE * 4
    launch(built, "trace_hash_grid", blocks, mlp.THREADS, *arguments, next_ray, *results, samples, shared=shared)
    return *results, samples


def source(simplices: bool, degree: int, features: int) -> Source:
    """Specialised by the kind of cells, the harmonics and the shape of rows."""
    return Source.of("trace_hash_grid", SIMPLICES=int(simplices), DEGREE=degree, FEATURES=features)


def _shading_room(field: Field) -> int:
    """Channels of the colour network's inputs, in whole fours."""
    return -(-field.color[0].shape[1] // 4) * 4


def _room(field: Field) -> int:
    """Channels of each of the two buffers that the networks use in turn, in whole fours."""
    return -(-max([*_widths(field.density), *_widths(field.color)[1:]]) // 4) * 4


def _packed(weights: Sequence[Tensor]) -> mlp.Packed:
    return mlp.pack(torch.cat([weight.flatten() for weight in weights]), _widths(weights))


def _widths(weights: Sequence[Tensor]) -> list[int]:
    return [weights[0].shape[1], *(weight.shape[0] for weight in weights)]
