"""Multiresolution grids of features, hashed where a level does not fit its table (instant-ngp, section 3).

A level ``l`` has ``scale_l = base * growth^l - 1`` and ``ceil(scale_l) + 1`` vertices per axis. A point x in
[0, 1]^D stands at ``p = x * scale_l + 0.5`` (the half staggers the levels); its value is the D-linear blend
of the 2^D vertices around p. The row of a vertex is row-major with x fastest where all vertices fit
the level, modulo its size; otherwise the XOR of ``vertex_i * prime_i`` in 32 bits, modulo the size, which is
a power of two.
"""

from __future__ import annotations

import itertools
import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from scenekit.core.checks import check_same_kind, check_shape
from scenekit.kernels import native
from scenekit.kernels.op import below_autograd, reference_gradients, register

PRIMES = (1, 2654435761, 805459861, 3674653429, 2097192037, 1434869437, 2165219737)


@dataclass(frozen=True)
class GridLayout:
    """How the rows of one table are shared out to levels.

    Attributes:
        dimensions: of the points, 1 to 7.
        scales: per level, cells per unit of x; not whole in general.
        resolutions: per level, vertices per axis.
        offsets: first row of every level, and the number of rows: one entry more than levels.
    """

    dimensions: int
    scales: tuple[float, ...]
    resolutions: tuple[int, ...]
    offsets: tuple[int, ...]

    def __post_init__(self) -> None:
        if not 1 <= self.dimensions <= len(PRIMES):
            raise ValueError(f"dimensions: wanted 1 to {len(PRIMES)}, found {self.dimensions}")
        if not len(self.scales) == len(self.resolutions) == len(self.offsets) - 1 > 0:
            raise ValueError("GridLayout: wanted as many scales as resolutions, at least one, and one offset more")
        for resolution, rows in zip(self.resolutions, self.level_rows, strict=True):
            if rows < 1 or (resolution**self.dimensions > rows and rows & (rows - 1)):
                raise ValueError(f"offsets: wanted levels of >= 1 row, a power of two where hashed, found {rows}")

    @classmethod
    def of(
        cls, dimensions: int = 3, *, levels: int, log2_table: int, base_resolution: int, growth: float
    ) -> GridLayout:
        """The layout of instant-ngp: at most ``2^log2_table`` rows a level, fewer where all vertices fit."""
        scales = tuple(_float32(base_resolution * growth**level - 1.0) for level in range(levels))
        resolutions = tuple(math.ceil(scale) + 1 for scale in scales)
        rows = [min(-(-(r**dimensions) // 8) * 8, 2**log2_table) for r in resolutions]
        return cls(dimensions, scales, resolutions, tuple(itertools.accumulate(rows, initial=0)))

    @property
    def levels(self) -> int:
        """Number of levels."""
        return len(self.scales)

    @property
    def rows(self) -> int:
        """Rows of the table over all levels."""
        return self.offsets[-1]

    @property
    def level_rows(self) -> tuple[int, ...]:
        """Rows of each level."""
        return tuple(b - a for a, b in itertools.pairwise(self.offsets))


def _float32(x: float) -> float:
    """Rounded as the kernels hold it, so that a resolution does not hang on the last bit of a float64."""
    return struct.unpack("f", struct.pack("f", x))[0]


def hash_grid(
    positions: Float[Tensor, "S D"], table: Float[Tensor, "E F"], layout: GridLayout
) -> Float[Tensor, "S LF"]:
    """Features of ``positions`` in [0, 1]^D, level-major and feature-minor; gradients to both tensors.

    Positions outside the cube read rows that belong to other places. Raises ValueError for a wrong shape and
    TypeError where dtypes or devices differ.
    """
    check_shape("positions", positions, ("S", layout.dimensions), {})
    check_shape("table", table, (layout.rows, "F"), {})
    check_same_kind("table", table, positions=positions)
    return HASH_GRID(positions, table, layout.scales, layout.resolutions, layout.offsets)


def _rows(vertices: Tensor, resolution: int, size: int) -> Tensor:
    """Row within a level of integer vertices [.. D]; 32-bit wrap-around as the kernels have it."""
    dimensions = vertices.shape[-1]
    dense = resolution**dimensions <= size
    factors = [resolution**i for i in range(dimensions)] if dense else PRIMES[:dimensions]
    terms = [(vertices[..., i] * factor) & 0xFFFFFFFF for i, factor in enumerate(factors)]
    row = terms[0]
    for term in terms[1:]:
        row = row + term if dense else row ^ term
    return (row & 0xFFFFFFFF) % size


def _reference(
    positions: Tensor,
    table: Tensor,
    scales: Sequence[float],
    resolutions: Sequence[int],
    offsets: Sequence[int],
) -> Tensor:
    points = positions.to(torch.promote_types(positions.dtype, torch.float32))
    corners = torch.tensor(list(itertools.product((0, 1), repeat=positions.shape[1])), device=positions.device)
    levels = []
    for scale, resolution, (begin, end) in zip(scales, resolutions, itertools.pairwise(offsets), strict=True):
        p = points * scale + 0.5
        cell = p.detach().floor()
        fraction = (p - cell)[:, None]
        weights = torch.where(corners == 1, fraction, 1 - fraction).prod(-1)
        rows = _rows(cell.long()[:, None] + corners, resolution, end - begin) + begin
        values = table.index_select(0, rows.flatten()).unflatten(0, rows.shape)
        levels.append((weights[..., None] * values).sum(1))
    return torch.cat(levels, -1).to(table.dtype)


def _backward_reference(
    gradient: Tensor,
    positions: Tensor,
    table: Tensor,
    scales: Sequence[float],
    resolutions: Sequence[int],
    offsets: Sequence[int],
    wanted: Sequence[bool],
) -> tuple[Tensor, Tensor]:
    inputs = (positions, table, scales, resolutions, offsets)
    which = [i for i in (0, 1) if wanted[i]]
    found = dict(zip(which, reference_gradients(_reference, inputs, which, (gradient,)), strict=True))
    return found.get(0, positions.new_empty(0)), found.get(1, table.new_empty(0))


@lru_cache(maxsize=64)
def packed_layout(
    scales: tuple[float, ...], resolutions: tuple[int, ...], offsets: tuple[int, ...]
) -> tuple[Tensor, Tensor, Tensor]:
    """The layout in memory the C library can walk."""
    return torch.tensor(scales, dtype=torch.float32), torch.tensor(resolutions), torch.tensor(offsets)


def _is_native(positions: Tensor, table: Tensor) -> bool:
    # Rows are counted in 32-bit floats offsets within a level.
    return native.serves(positions, table) and positions.shape[1] in (2, 3) and table.numel() < 2**31


def _cpu(
    positions: Tensor,
    table: Tensor,
    scales: Sequence[float],
    resolutions: Sequence[int],
    offsets: Sequence[int],
) -> Tensor:
    if not _is_native(positions, table):
        return _reference(positions, table, scales, resolutions, offsets)
    positions, table = positions.contiguous(), table.contiguous()
    (count, dimensions), features, levels = positions.shape, table.shape[1], len(scales)
    result = table.new_empty(count, levels * features)
    layout = packed_layout(tuple(scales), tuple(resolutions), tuple(offsets))
    native.call("hash_grid", positions, table, count, dimensions, features, levels, *layout, result)
    return result


def _backward_cpu(
    gradient: Tensor,
    positions: Tensor,
    table: Tensor,
    scales: Sequence[float],
    resolutions: Sequence[int],
    offsets: Sequence[int],
    wanted: Sequence[bool],
) -> tuple[Tensor, Tensor]:
    if not _is_native(positions, table):
        return _backward_reference(gradient, positions, table, scales, resolutions, offsets, wanted)
    gradient, positions, table = gradient.contiguous(), positions.contiguous(), table.contiguous()
    (count, dimensions), features, levels = positions.shape, table.shape[1], len(scales)
    results = [torch.empty_like(x) if want else None for x, want in zip((table, positions), wanted[::-1], strict=True)]
    layout = packed_layout(tuple(scales), tuple(resolutions), tuple(offsets))
    sizes = (count, dimensions, features, levels)
    native.call("hash_grid_backward", gradient, positions, table, *sizes, *layout, *results)
    for_table, for_positions = (table.new_empty(0) if x is None else x for x in results)
    return for_positions, for_table


def _backward_fake(
    gradient: Tensor,
    positions: Tensor,
    table: Tensor,
    scales: Sequence[float],
    resolutions: Sequence[int],
    offsets: Sequence[int],
    wanted: Sequence[bool],
) -> tuple[Tensor, Tensor]:
    results = [
        torch.empty_like(x) if want else x.new_empty(0) for x, want in zip((positions, table), wanted, strict=True)
    ]
    return results[0], results[1]


class _HashGrid(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, positions: Tensor, table: Tensor, *layout: Sequence[float] | Sequence[int]) -> Tensor:
        ctx.save_for_backward(positions, table)
        ctx.layout = layout
        return below_autograd("hash_grid", positions, table, *layout)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        wanted = ctx.needs_input_grad[:2]
        results = torch.ops.scenekit.hash_grid_backward(gradients[0], *ctx.saved_tensors, *ctx.layout, wanted)
        found = (result if want else None for result, want in zip(results, wanted, strict=True))
        return (*found, None, None, None)


_LAYOUT = "float[] scales, int[] resolutions, int[] offsets"
HASH_GRID = register(
    f"hash_grid(Tensor positions, Tensor table, {_LAYOUT}) -> Tensor",
    _reference,
    fake=lambda positions, table, scales, *_: table.new_empty(positions.shape[0], len(scales) * table.shape[1]),
    cpu=_cpu,
    autograd=_HashGrid,
)
HASH_GRID_BACKWARD = register(
    f"hash_grid_backward(Tensor gradient, Tensor positions, Tensor table, {_LAYOUT}, bool[2] wanted) "
    "-> (Tensor for_positions, Tensor for_table)",
    _backward_reference,
    fake=_backward_fake,
    cpu=_backward_cpu,
)
