"""How grids of features of several resolutions share one table, and the row of a vertex.

A vertex has whole coordinates. Its row within a level is row-major with x fastest where all vertices fit the level,
modulo its size; otherwise the XOR of ``vertex_i * prime_i`` in 32 bits, modulo the size, which is a power of two
(instant-ngp, section 3).
"""

from __future__ import annotations

import itertools
import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

PRIMES = (1, 2654435761, 805459861, 3674653429, 2097192037, 1434869437, 2165219737)


@dataclass(frozen=True)
class GridLayout:
    """How the rows of one table are shared out to levels.

    Attributes:
        dimensions: of the points, 1 to 7.
        scales: per level, cells per unit of x; not whole in general.
        resolutions: per level, vertices per axis.
        offsets: first row of every level, and the number of rows: one entry more than levels.
        simplices: whether cells are simplices, and vertices counted along skewed axes; else cubes.
    """

    dimensions: int
    scales: tuple[float, ...]
    resolutions: tuple[int, ...]
    offsets: tuple[int, ...]
    simplices: bool = False

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
        scales = tuple(as_float32(base_resolution * growth**level - 1.0) for level in range(levels))
        resolutions = tuple(math.ceil(scale) + 1 for scale in scales)
        return cls(dimensions, scales, resolutions, offsets_of(dimensions, resolutions, log2_table))

    @classmethod
    def dense(cls, dimensions: int, cells: Sequence[int]) -> GridLayout:
        """Levels of ``cells`` a side of the unit cube, every vertex in a row of its own.

        There are two vertices more than cells a side: the cube begins and ends in the middle of a cell.
        """
        resolutions = tuple(count + 2 for count in cells)
        rows = [resolution**dimensions for resolution in resolutions]
        offsets = tuple(itertools.accumulate(rows, initial=0))
        return cls(dimensions, tuple(float(count) for count in cells), resolutions, offsets)

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


def check_kind(layout: GridLayout, *, simplices: bool) -> None:
    """Raises ValueError for a layout of cells of the other kind."""
    if layout.simplices != simplices:
        wanted, found = ("simplices", "cubes") if simplices else ("cubes", "simplices")
        raise ValueError(f"layout: wanted cells that are {wanted}, found {found}")


def offsets_of(dimensions: int, resolutions: Sequence[int], log2_table: int) -> tuple[int, ...]:
    """Of levels of at most ``2^log2_table`` rows, fewer where all vertices fit."""
    rows = [min(-(-(r**dimensions) // 8) * 8, 2**log2_table) for r in resolutions]
    return tuple(itertools.accumulate(rows, initial=0))


def as_float32(x: float) -> float:
    """Rounded as the kernels hold it, so that a resolution does not hang on the last bit of a float64."""
    return struct.unpack("f", struct.pack("f", x))[0]


def rows_of(vertices: Tensor, resolution: int, size: int) -> Tensor:
    """Row within a level of integer vertices [.. D], negative ones too; 32-bit wrap-around as the kernels have it."""
    dimensions = vertices.shape[-1]
    dense = resolution**dimensions <= size
    factors = [resolution**i for i in range(dimensions)] if dense else PRIMES[:dimensions]
    terms = [(vertices[..., i] * factor) & 0xFFFFFFFF for i, factor in enumerate(factors)]
    row = terms[0]
    for term in terms[1:]:
        row = row + term if dense else row ^ term
    return (row & 0xFFFFFFFF) % size


@lru_cache(maxsize=64)
def packed_layout(
    scales: tuple[float, ...], resolutions: tuple[int, ...], offsets: tuple[int, ...]
) -> tuple[Tensor, Tensor, Tensor]:
    """The layout in memory the C library can walk."""
    return torch.tensor(scales, dtype=torch.float32), torch.tensor(resolutions), torch.tensor(offsets)
