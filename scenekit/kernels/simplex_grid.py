"""Multiresolution grids of simplices: D + 1 vertices a point where a grid of cubes reads 2^D (arXiv 2311.15439).

Skewing turns simplices into parts of cubes: ``y = x * scale + F * sum(x * scale) + 0.5`` with
``F = (sqrt(D + 1) - 1) / D``. The half staggers the levels; before skewing it would be no shift at all in 3-D. With
``f = y - floor(y)`` sorted from high to low, the vertices are ``floor(y)`` and then one step along each axis in that
order; the weights are ``1 - f_1``, ``f_k - f_(k+1)`` and ``f_D``. They are continuous and reproduce linear functions.
Vertices have whole skewed coordinates, up to ``sqrt(D + 1) * scale``; their rows as in ``grid_layout``.

Skewing has the determinant ``sqrt(D + 1)``: at the same scale there are that many times more vertices than in a grid
of cubes. :func:`simplex_layout` therefore divides scales by ``(D + 1)^(1 / 2D)``: equal arguments, equal vertices.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from scenekit.core.checks import check_same_kind, check_shape
from scenekit.kernels.grid_layout import GridLayout, as_float32, check_kind, offsets_of, rows_of
from scenekit.kernels.grid_op import register_grid


def simplex_layout(dimensions: int, *, levels: int, log2_table: int, base_resolution: int, growth: float) -> GridLayout:
    """Levels with as many vertices in the unit cube as those of ``GridLayout.of`` with the same arguments.

    A level is dense where the box around its skewed vertices fits ``2^log2_table`` rows. The box holds
    ``(D + 1)^((D - 1) / 2)`` times more rows than vertices are reached (4 times in 3-D); the others stay as they are.
    """
    share = (dimensions + 1) ** (-0.5 / dimensions)
    scales = tuple(as_float32(share * (base_resolution * growth**level - 1.0)) for level in range(levels))
    # The last vertex follows the cell of the farthest corner, which rounding may put one cell on.
    reach = math.sqrt(dimensions + 1) * (1 + 1e-6)
    resolutions = tuple(math.floor(scale * reach + 0.5) + 2 for scale in scales)
    offsets = offsets_of(dimensions, resolutions, log2_table)
    return GridLayout(dimensions, scales, resolutions, offsets, simplices=True)


def simplex_grid(
    positions: Float[Tensor, "S D"], table: Float[Tensor, "E F"], layout: GridLayout
) -> Float[Tensor, "S LF"]:
    """Features of ``positions`` in [0, 1]^D, level-major and feature-minor; gradients to both tensors.

    The resolutions of ``layout`` count skewed coordinates. Positions outside the cube read rows that belong to other
    places. Raises ValueError for a wrong shape and TypeError where dtypes or devices differ.
    """
    check_shape("positions", positions, ("S", layout.dimensions), {})
    check_shape("table", table, (layout.rows, "F"), {})
    check_same_kind("table", table, positions=positions)
    check_kind(layout, simplices=True)
    return SIMPLEX_GRID(positions, table, layout.scales, layout.resolutions, layout.offsets)


def _reference(
    positions: Tensor,
    table: Tensor,
    scales: Sequence[float],
    resolutions: Sequence[int],
    offsets: Sequence[int],
) -> Tensor:
    points = positions.to(torch.promote_types(positions.dtype, torch.float32))
    dimensions = positions.shape[1]
    skew = (math.sqrt(dimensions + 1) - 1) / dimensions
    levels = []
    for scale, resolution, (begin, end) in zip(scales, resolutions, itertools.pairwise(offsets), strict=True):
        y = points * scale + points.sum(-1, keepdim=True) * (scale * skew) + 0.5
        cell = y.detach().floor()
        fractions, order = (y - cell).sort(dim=-1, descending=True, stable=True)
        steps = torch.nn.functional.one_hot(order, dimensions).cumsum(1)
        vertices = cell.long()[:, None] + torch.nn.functional.pad(steps, (0, 0, 1, 0))
        ends = torch.ones_like(fractions[:, :1]), torch.zeros_like(fractions[:, :1])
        padded = torch.cat([ends[0], fractions, ends[1]], -1)
        weights = padded[:, :-1] - padded[:, 1:]
        rows = rows_of(vertices, resolution, end - begin) + begin
        values = table.index_select(0, rows.flatten()).unflatten(0, rows.shape)
        levels.append((weights[..., None] * values).sum(1))
    return torch.cat(levels, -1).to(table.dtype)


SIMPLEX_GRID, SIMPLEX_GRID_BACKWARD = register_grid("simplex_grid", _reference, native_dimensions=range(2, 7))
