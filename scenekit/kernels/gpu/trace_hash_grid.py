"""Launches of ``cuda/trace_hash_grid.cu``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from scenekit.kernels.gpu import grids, march
from scenekit.kernels.gpu.compile import Source
from scenekit.kernels.gpu.launch import aligned, blocks_for, launch
from scenekit.kernels.rbf import number_of

WARPS = 8  # of a block
THREADS = 32 * WARPS
MOST_BLOCKS = 512  # those that find no ray left end at once
MOST_WIDTH = 256  # of a layer whose values lie in local memory
MOST_HALF_WIDTH = 64  # of one whose values are registers
MOST_SHARED = 60 * 1024  # bytes beside those that the kernel has anyway: every GPU has 64 KiB
MANY_RAYS = 2**16  # that keep a GPU busy one to a lane; fewer are followed by several lanes each
FEWEST_WITH_ROOM = 4  # lanes to a ray where room ends: all that are followed at that time are followed in vain
PAIRS = False  # whether rows that are neighbours along x are read at once, where they can be
SQUARE, FLOAT = 512, 4  # bytes of 16 by 16 halves, of one number in float32


class Shape(NamedTuple):
    """What the kernel is specialised by.

    Attributes:
        levels: of the grid.
        simplices: whether its cells are.
        features: of a row of the table.
        dtype: of the table, one of those that ``grids`` takes.
        kernel: of neurons that read the grid's features; empty where there are none.
        density: widths of the layers from the encoding, or neurons, to features.
        color: widths of the layers from features and harmonics to colours.
    """

    levels: int
    simplices: bool
    features: int
    dtype: torch.dtype
    kernel: str
    density: tuple[int, ...]
    color: tuple[int, ...]

    @classmethod
    def of(
        cls,
        table: Tensor,
        levels: int,
        simplices: bool,
        kernel: str,
        density: Iterable[Tensor],
        color: Iterable[Tensor],
    ) -> Shape:
        """Of a table [E F] and weights [out in]."""
        return cls(levels, simplices, table.shape[1], table.dtype, kernel, _widths(density), _widths(color))

    @property
    def fits(self) -> bool:
        """Whether the kernel has room for it."""
        widths = (self.levels * self.features, *self.density, *self.color)
        return min(widths) > 0 and max(widths) <= MOST_WIDTH and 1 <= self.features <= grids.MOST_FEATURES

    @property
    def fits_halves(self) -> bool:
        """Whether networks in half precision fit registers and shared memory, and levels the squares in it."""
        narrow = max(self.density + self.color) <= MOST_HALF_WIDTH
        return narrow and 8 % self.features == 0 and self.shared <= MOST_SHARED

    @property
    def shared(self) -> int:
        """Bytes for the weights of all layers in half precision and neurons, each warp's encodings and harmonics."""
        harmonics = _squares(self.color[0] - self.density[-1])
        beside = [*map(_squares, self.density[:-1]), _squares(self.density[-1]) + harmonics]
        inputs, outputs = [*beside, *map(_squares, self.color[1:-1])], map(_squares, self.density[1:] + self.color[1:])
        weights = sum(a * b for a, b in zip(inputs, outputs, strict=True))
        neurons = -(-2 * FLOAT * self.levels * self.features * self.density[0] // SQUARE) if self.kernel else 0
        return SQUARE * (weights + neurons + WARPS * 2 * (_squares(self.density[0]) + harmonics))


class Field(NamedTuple):
    """What is traced.

    Attributes:
        shape: of table and networks.
        table: rows of all levels [E F].
        layout: scales, resolutions and offsets.
        neurons: their scales and shifts [K LF], if there are any.
        weights: [out in] of all layers, those of the density first.
        numbers: log of the initial density, 1 / (2 extent), whether contracted, whether shaded.
    """

    shape: Shape
    table: Tensor
    layout: grids.Layout
    neurons: Sequence[Tensor]
    weights: Sequence[Tensor]
    numbers: tuple[float, float, bool, bool]

    @property
    def packed(self) -> Tensor:
        """Weights of all layers, then from a multiple of four on the scale and shift of every feature [L K F 2]."""
        weights = [weight.flatten() for weight in self.weights]
        if self.neurons:
            gap = -sum(map(len, weights)) % 4
            both = torch.stack([*self.neurons], -1).unflatten(1, (self.shape.levels, self.shape.features))
            weights += [weights[0].new_empty(gap), both.transpose(0, 1).flatten()]
        return torch.cat(weights)


def trace(
    rays: Sequence[Tensor],
    cells: march.PackedCells,
    rule: Tensor,
    max_samples: int,
    field: Field,
    *,
    exact: bool,
    room: int | None = None,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Colours [R 3], opacities [R], distances [R] and samples [R] of ``rays``; as ``march.march`` takes them.

    Unless ``exact``, networks round what they multiply to half precision, where they are small enough for that.
    With ``room``, rays are not followed once as many samples are counted: they have ``room + 1``, and no colours.
    """
    rays, rule = [x.contiguous() for x in rays], rule.contiguous()
    near, count = rays[2], len(rays[2])
    exact, lanes = exact or not field.shape.fits_halves, lanes_of(count)
    if room is not None:
        lanes = max(lanes, FEWEST_WITH_ROOM)
    place = grids.packed(field.layout, 3, near.device)
    results = near.new_empty(count, 3), near.new_empty(count), near.new_empty(count)
    samples = torch.full((count,), 0 if room is None else room + 1, dtype=torch.int64, device=near.device)
    counted = torch.zeros(2, dtype=torch.int64, device=near.device)
    steps = (*rays, count, max_samples, *cells, rule, len(rule))
    arguments = (*steps, aligned(field.table), place, field.packed, *field.numbers, lanes, -1 if room is None else room)
    blocks = min(MOST_BLOCKS, blocks_for(count * lanes, THREADS))
    shared = 0 if exact else field.shape.shared
    kernel = source(field.shape, exact=exact), "trace_hash_grid"
    launch(*kernel, blocks, THREADS, *arguments, counted, *results, samples, shared=shared)
    return *results, samples


def source(shape: Shape, *, exact: bool) -> Source:
    """Compiled for one shape of field, with networks in float32 where ``exact``."""
    widths = {"DENSITY": ",".join(map(str, shape.density)), "COLOR": ",".join(map(str, shape.color))}
    table = {"FEATURES": shape.features, "ENTRY": grids.ENTRIES.index(shape.dtype), "PAIRS": int(PAIRS)}
    grid = {"LEVELS": shape.levels, "SIMPLICES": int(shape.simplices), **table}
    radial = number_of(shape.kernel) if shape.kernel else 0
    return Source.of("trace_hash_grid", EXACT=int(exact), RADIAL=radial, **grid, **widths)


def sources(shape: Shape) -> list[Source]:
    """In every precision that such a field is traced in; none where the kernel has no room for it."""
    exact = (True, False) if shape.fits_halves else (True,)
    return [source(shape, exact=each) for each in exact] if shape.fits else []


def lanes_of(rays: int) -> int:
    """How many lanes follow a ray: a power of two, so many that a GPU has enough to do."""
    lanes = 1
    while lanes < 32 and rays * lanes < MANY_RAYS:
        lanes *= 2
    return lanes


def _squares(width: int) -> int:
    return -(-width // 16)


def _widths(weights: Iterable[Tensor]) -> tuple[int, ...]:
    first, *rest = weights
    return first.shape[1], first.shape[0], *(weight.shape[0] for weight in rest)
