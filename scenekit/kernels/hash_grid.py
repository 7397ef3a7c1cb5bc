"""Multiresolution grids of features, hashed where a level does not fit its table (instant-ngp, section 3).

A level ``l`` has ``scale_l = base * growth^l - 1`` and ``ceil(scale_l) + 1`` vertices per axis. A point x in
[0, 1]^D stands at ``p = x * scale_l + 0.5`` (the half staggers the levels); its value is the D-linear blend
of the 2^D vertices around p. Rows of vertices as in ``grid_layout``.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from scenekit.core.checks import check_same_kind, check_shape
from scenekit.core.constants import constant
from scenekit.kernels.grid_layout import GridLayout, check_kind, rows_of
from scenekit.kernels.grid_op import register_grid


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
    check_kind(layout, simplices=False)
    return HASH_GRID(positions, table, layout.scales, layout.resolutions, layout.offsets)


def _reference(
    positions: Tensor,
    table: Tensor,
    scales: Sequence[float],
    resolutions: Sequence[int],
    offsets: Sequence[int],
) -> Tensor:
    points = positions.to(torch.promote_types(positions.dtype, torch.float32))
    dimensions = positions.shape[1]
    flat = tuple(itertools.chain(*itertools.product((0, 1), repeat=dimensions)))
    corners = constant(flat, positions.device, torch.int64).view(-1, dimensions)
    levels = []
    for scale, resolution, (begin, end) in zip(scales, resolutions, itertools.pairwise(offsets), strict=True):
        p = points * scale + 0.5
        cell = p.detach().floor()
        fraction = (p - cell)[:, None]
        weights = torch.where(corners == 1, fraction, 1 - fraction).prod(-1)
        rows = rows_of(cell.long()[:, None] + corners, resolution, end - begin) + begin
        values = table.index_select(0, rows.flatten()).unflatten(0, rows.shape)
        levels.append((weights[..., None] * values).sum(1))
    return torch.cat(levels, -1).to(table.dtype)


HASH_GRID, HASH_GRID_BACKWARD = register_grid("hash_grid", _reference, native_dimensions=(1, 2, 3))
