"""Functions of space as sums of products of functions of fewer axes (TensoRF)."""

from __future__ import annotations

import itertools
from functools import reduce
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from scenekit.representations.planes import (
    columns,
    layout_of,
    lookup,
    resampled,
    rows_of,
    take_other_sizes,
    total_variation,
)

Decomposition = Literal["vm", "cp"]
SPREAD = {"vm": 0.1, "cp": 0.2}  # standard deviation of factors at the start (TensoRF)


class Factors(nn.Module):
    """Components of positions in the unit cube, before anything sums them.

    ``vm`` has a plane for every pair of axes, times a line for each axis left (eq. 4); ``cp`` has a line for every
    axis (eq. 2). Each product has ``rank`` components. The tables may have any number of cells a side.
    """

    def __init__(
        self, kind: Decomposition, dimensions: int, rank: int, cells: int, generator: torch.Generator | None
    ) -> None:
        super().__init__()
        self.products = _products(kind, dimensions)
        self.components = len(self.products) * rank
        axes = [factor for product in self.products for factor in product]
        sizes = [(rows_of(len(factor), cells), rank) for factor in axes]
        self.tables = nn.ParameterList(
            nn.Parameter(torch.randn(size, generator=generator) * SPREAD[kind]) for size in sizes
        )
        self.axes = axes
        take_other_sizes(self, {f"tables.{index}": len(factor) for index, factor in enumerate(axes)})

    def forward(self, positions: Float[Tensor, "S D"]) -> Float[Tensor, "S K"]:
        """Products of factors, one block of ``rank`` after the other."""
        tables = iter(self.tables)
        found = [
            reduce(torch.mul, (lookup(columns(positions, factor), next(tables)) for factor in product))
            for product in self.products
        ]
        return torch.cat(found, -1)

    def resized(self, cells: int, low: Float[Tensor, " D"], high: Float[Tensor, " D"]) -> dict[str, Tensor]:
        """Every table over a part of the cube with other cells a side, by parameter name."""
        return {
            f"tables.{index}": resampled(table.detach(), cells, low[list(factor)], high[list(factor)])
            for index, (factor, table) in enumerate(zip(self.axes, self.tables, strict=True))
        }

    def numbers(self, cells: int) -> int:
        """How many its tables hold with so many cells a side."""
        return sum(
            rows_of(len(axes), cells) * table.shape[1] for axes, table in zip(self.axes, self.tables, strict=True)
        )

    def size(self) -> Float[Tensor, ""]:
        """Mean absolute value, summed over tables: what makes components vanish (TensoRF, eq. 11)."""
        return torch.stack([table.abs().mean() for table in self.tables]).sum()

    def roughness(self) -> Float[Tensor, ""]:
        """Total variation, summed over tables."""
        values = [
            total_variation(table, layout_of(len(factor), table.shape[0]))
            for factor, table in zip(self.axes, self.tables, strict=True)
        ]
        return torch.stack(values).sum()


def _products(kind: Decomposition, dimensions: int) -> list[list[tuple[int, ...]]]:
    """The axes of each factor of each product."""
    every = range(dimensions)
    if kind == "cp":
        return [[(axis,) for axis in every]]
    if dimensions < 2:
        raise ValueError(f"dimensions: wanted at least 2 for planes, found {dimensions}")
    return [[pair, *[(axis,) for axis in every if axis not in pair]] for pair in itertools.combinations(every, 2)]
