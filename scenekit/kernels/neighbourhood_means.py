"""Means over squares of a grid of rows, which goes on around its sides and is reflected at its ends."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from scenekit.core.checks import check_same_kind, check_shape
from scenekit.kernels import native
from scenekit.kernels.gpu import neighbourhood_means as gpu
from scenekit.kernels.op import register


def neighbourhood_means(grid: Float[Tensor, "H W C"], radius: int) -> Float[Tensor, "H W C"]:
    """Means over ``2 radius + 1`` cells a side about every cell, without gradients.

    ``radius`` is below half of both sides. Raises ValueError where it is not, TypeError for whole numbers.
    """
    check_shape("grid", grid, ("H", "W", "C"), {})
    check_same_kind("grid", grid)
    if not 0 <= 2 * radius < min(grid.shape[:2]):
        raise ValueError(f"radius: wanted less than half of a grid of {list(grid.shape[:2])}, found {radius}")
    with torch.no_grad():
        return NEIGHBOURHOOD_MEANS(grid, radius)


def _reference(grid: Tensor, radius: int) -> Tensor:
    if radius == 0:
        return grid.clone(memory_format=torch.contiguous_format)
    planes = grid.permute(2, 0, 1).double()
    wide = torch.cat([planes[:, :, -radius:], planes, planes[:, :, :radius]], 2)
    rows = _window_means(wide, 2 * radius + 1)
    top, bottom = rows[:, 1 : radius + 1].flip(1), rows[:, -radius - 1 : -1].flip(1)
    tall = torch.cat([top, rows, bottom], 1).transpose(1, 2)
    return _window_means(tall, 2 * radius + 1).permute(2, 1, 0).to(grid.dtype).contiguous()


def _window_means(rows: Tensor, width: int) -> Tensor:
    """Means over ``width`` consecutive values of the last dimension."""
    sums = torch.nn.functional.pad(rows, (1, 0)).cumsum(-1)
    return (sums[..., width:] - sums[..., :-width]) / width


def _cpu(grid: Tensor, radius: int) -> Tensor:
    if not native.serves(grid):
        return _reference(grid, radius)
    grid = grid.contiguous()
    result = torch.empty_like(grid)
    native.call("neighbourhood_means", grid, *grid.shape, radius, result)
    return result


NEIGHBOURHOOD_MEANS = register(
    "neighbourhood_means(Tensor grid, int radius) -> Tensor",
    _reference,
    fake=lambda grid, radius: grid.new_empty(grid.shape),
    cpu=_cpu,
    cuda=gpu.neighbourhood_means,
)
