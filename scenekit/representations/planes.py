"""Tables of dense vertices, one resolution each: how they are read, how rough they are, how they change their size.

A table [rows F] is a line, a plane or a block; its number of vertices a side is the root of its rows, so that a
state of any size can be taken. The cells are those of ``GridLayout.dense``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from scenekit.kernels.grid_layout import GridLayout
from scenekit.kernels.hash_grid import hash_grid


@lru_cache(maxsize=256)
def layout_of(dimensions: int, rows: int) -> GridLayout:
    """The layout of a table of so many rows; raises ValueError where they are no whole number of cells a side."""
    side = round(rows ** (1 / dimensions))
    if side**dimensions != rows or side < 3:
        raise ValueError(f"table: wanted a power of {dimensions} as rows, at least {3**dimensions}, found {rows}")
    return GridLayout.dense(dimensions, (side - 2,))


def rows_of(dimensions: int, cells: int) -> int:
    """Rows of a table of ``cells`` a side of the unit cube."""
    return (cells + 2) ** dimensions


def columns(positions: Float[Tensor, "S D"], axes: Sequence[int]) -> Float[Tensor, "S A"]:
    """Coordinates along some of the axes.

    A list of indices would be copied to a GPU first, which a step that is recorded may not do.
    """
    return torch.stack([positions[:, axis] for axis in axes], -1)


def lookup(positions: Float[Tensor, "S D"], table: Float[Tensor, "E F"]) -> Float[Tensor, "S F"]:
    """Linear blends of the vertices around positions in the unit cube."""
    return hash_grid(positions, table, layout_of(positions.shape[1], table.shape[0]))


@torch.no_grad()
def resampled(
    table: Float[Tensor, "E F"], cells: int, low: Float[Tensor, " D"], high: Float[Tensor, " D"]
) -> Float[Tensor, "E2 F"]:
    """The table over the part ``low`` to ``high`` of its unit cube, with other cells a side."""
    ticks = (torch.arange(cells + 2, dtype=table.dtype, device=table.device) - 0.5) / cells
    axes = [(low[axis] + ticks * (high[axis] - low[axis])).clamp(0, 1) for axis in range(len(low))]
    # Rows have x fastest, so the last axis of the product is x.
    positions = torch.cartesian_prod(*axes[::-1]).reshape(-1, len(low)).flip(-1)
    return lookup(positions.contiguous(), table)


def total_variation(table: Float[Tensor, "E F"], layout: GridLayout) -> Float[Tensor, ""]:
    """Mean squared difference of neighbouring vertices, summed over axes; the mean over levels."""
    levels = [_grid(table, layout, level) for level in range(layout.levels)]
    return torch.stack([_roughness(grid) for grid in levels]).mean()


def _grid(table: Tensor, layout: GridLayout, level: int) -> Float[Tensor, "*side F"]:
    begin, end = layout.offsets[level : level + 2]
    return table[begin:end].unflatten(0, (layout.resolutions[level],) * layout.dimensions)


def _roughness(grid: Tensor) -> Tensor:
    return torch.stack([grid.diff(dim=axis).square().mean() for axis in range(grid.ndim - 1)]).sum()


def take_other_sizes(module: nn.Module, dimensions: Mapping[str, int]) -> None:
    """Let the module's tables, named with their dimensions, take states of other sizes."""

    def make_room(module: nn.Module, state: Mapping[str, Any], prefix: str, *_: object) -> None:
        for name, parameter in module.named_parameters():
            found = state.get(prefix + name)
            if name in dimensions and found is not None and found.shape[0] != parameter.shape[0]:
                layout_of(dimensions[name], found.shape[0])  # refuses what is no table
                parameter.data = parameter.new_zeros(found.shape[0], *parameter.shape[1:])
                parameter.grad = None

    module.register_load_state_dict_pre_hook(make_room)


def cells_between(first: float, last: float, stages: int) -> Sequence[int]:
    """Cells a side at each stage, from ``first`` to ``last`` at a constant ratio; ``last`` alone for no stages."""
    ratio = max(1.0, last / first)
    return [round(last / ratio ** (1 - stage / stages)) if stages else round(last) for stage in range(stages + 1)]
