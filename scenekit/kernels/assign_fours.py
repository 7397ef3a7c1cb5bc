"""One move of the parallel sort into a grid: rows in groups of four take the places that suit them best.

The step of PLAS (Morgenstern et al. 2024, section 3.2) that does the work; :mod:`scenekit.kernels.grid_sort`
chooses what cells want, the blocks and the groups.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from scenekit.core.checks import check_same_kind, check_shape
from scenekit.core.constants import constant
from scenekit.kernels import native
from scenekit.kernels.op import register

MOST_CHANNELS = 64  # that the native loops keep on their stack
WAYS = tuple(itertools.permutations(range(4)))  # the first leaves everything where it is


def assign_fours_(
    values: Float[Tensor, "H W C"],
    order: Int[Tensor, "H W"],
    target: Float[Tensor, "H W C"],
    groups: Int[Tensor, "G 4"],
    side: int,
    shift: tuple[int, int],
) -> float:
    """Permute rows within groups of four, in place, so that ``sum |values - target|^2`` falls most.

    Args:
        values: a row for every cell; moved.
        order: number of the row in every cell; moved alongside.
        target: what cells want.
        groups: cells of a block, numbered row by row below ``side**2``; no cell twice.
        side: of the square blocks that the grid is cut into; cells beyond the last whole block rest.
        shift: row and column of the first block's corner; blocks go on beyond the border from the other side.

    Returns by how much the sum fell. Raises ValueError where shapes or numbers do not fit, TypeError where
    dtypes do not.
    """
    sizes: dict[str, int] = {}
    check_shape("values", values, ("H", "W", "C"), sizes)
    check_shape("order", order, ("H", "W"), sizes)
    check_shape("target", target, ("H", "W", "C"), sizes)
    check_shape("groups", groups, ("G", 4), sizes)
    check_same_kind("values", values, target=target)
    for name, tensor in (("order", order), ("groups", groups)):
        if tensor.dtype != torch.int64:
            raise TypeError(f"{name}: wanted torch.int64, found {tensor.dtype}")
    if not 2 <= side <= min(sizes["H"], sizes["W"]):
        raise ValueError(f"side: wanted 2 to {min(sizes['H'], sizes['W'])}, found {side}")
    if len(groups) and not (int(groups.min()) >= 0 and int(groups.max()) < side * side):
        raise ValueError(f"groups: wanted cells below {side * side}, found {int(groups.min())} to {int(groups.max())}")
    if not (0 <= shift[0] < sizes["H"] and 0 <= shift[1] < sizes["W"]):
        raise ValueError(f"shift: wanted a cell of the grid, found {shift}")
    with torch.no_grad():
        return float(ASSIGN_FOURS(values, order, target, groups, [side, *shift]))


def cells_of(groups: Tensor, height: int, width: int, layout: Sequence[int]) -> Int[Tensor, "M 4"]:
    """Flat cells of every group of every block."""
    side, top, left = layout
    tops = top + side * torch.arange(height // side, device=groups.device)
    lefts = left + side * torch.arange(width // side, device=groups.device)
    y = (tops[:, None, None, None] + groups // side) % height
    x = (lefts[None, :, None, None] + groups % side) % width
    return (y * width + x).reshape(-1, 4)


def _reference(values: Tensor, order: Tensor, target: Tensor, groups: Tensor, layout: Sequence[int]) -> Tensor:
    height, width, channels = values.shape
    if layout[0] < 2:
        return torch.zeros(1, dtype=torch.float64, device=values.device)
    cells = cells_of(groups, height, width, layout)
    rows, numbers = values.reshape(-1, channels)[cells], order.reshape(-1)[cells]
    dots = rows @ target.reshape(-1, channels)[cells].transpose(1, 2)
    ways = constant(tuple(itertools.chain(*WAYS)), values.device, torch.int64).view(-1, 4)
    sums = dots[:, ways, torch.arange(4, device=values.device)].sum(-1)
    best, way = sums.max(-1)
    chosen = ways[way]
    _put(values, cells, torch.take_along_dim(rows, chosen[..., None], 1))
    _put(order, cells, torch.take_along_dim(numbers, chosen, 1))
    return 2 * (best - sums[:, 0]).double().sum()[None]


def _put(grid: Tensor, cells: Tensor, rows: Tensor) -> None:
    """Write rows at flat cells of a grid that may have gaps in memory."""
    grid[cells // grid.shape[1], cells % grid.shape[1]] = rows


def _cpu(values: Tensor, order: Tensor, target: Tensor, groups: Tensor, layout: Sequence[int]) -> Tensor:
    if not native.serves(values, target) or values.shape[2] > MOST_CHANNELS:
        return _reference(values, order, target, groups, layout)
    rows, numbers = values.contiguous(), order.contiguous()
    gain = torch.zeros(1, dtype=torch.float64)
    groups = groups.contiguous()
    native.call("assign_fours", rows, numbers, target.contiguous(), *values.shape, groups, len(groups), *layout, gain)
    for old, new in ((values, rows), (order, numbers)):
        if new is not old:
            old.copy_(new)
    return gain


ASSIGN_FOURS = register(
    "assign_fours_(Tensor(a!) values, Tensor(b!) order, Tensor target, Tensor groups, int[] layout) -> Tensor",
    _reference,
    fake=lambda values, *_: values.new_empty(1, dtype=torch.float64),
    cpu=_cpu,
)
