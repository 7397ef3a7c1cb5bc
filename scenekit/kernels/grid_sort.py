"""Sorts rows into a square grid in which neighbours are alike, so that images of them compress (PLAS).

Parallel Linear Assignment Sorting (Morgenstern et al. 2024, section 3.2): what a cell wants is the mean of its
neighbourhood, and rows change places in groups of four towards it. Neighbourhoods shrink from half the grid to
the next cells: the large order is settled first. PLAS weighs a neighbourhood by a Gaussian as wide as its square,
which differs from 1 by an eighth at the sides; equal weights cost the same for every radius. On a GPU one number of
every move is read, by how much it helped: whether another follows hangs on it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from scenekit.kernels.assign_fours import assign_fours_
from scenekit.kernels.neighbourhood_means import neighbourhood_means

SHRINK = 0.95  # of the neighbourhood's radius, from one round to the next
CONFIGURATIONS = 4  # placements of the blocks tried in a round at least
SMALLEST_BLOCK = 16


def sort_into_grid(
    values: Float[Tensor, "N C"],
    generator: torch.Generator | None = None,
    *,
    improvement: float = 3e-4,
    radius: float | None = None,
) -> Int[Tensor, " N"]:
    """Indices that put ``values`` into a square grid, row by row, with like beside like.

    Args:
        values: N is a square number; channels count by their variance.
        generator: of all randomness.
        improvement: relative fall of the squared distance below which a round goes on to the next placement.
        radius: where neighbourhoods begin; half the grid, after a shuffle, where None. A small one keeps the
            large order of ``values`` that have been sorted before.

    Raises ValueError where N is not a square.
    """
    side = math.isqrt(len(values))
    if side * side != len(values):
        raise ValueError(f"values: wanted a square number of rows, found {len(values)}")
    if side < 4:
        return torch.arange(len(values), device=values.device)
    draws = _Draws.of(generator, values.device)
    order = draws.permutation(len(values)) if radius is None else torch.arange(len(values), device=values.device)
    order = order.reshape(side, side)
    grid = values.detach()[order.reshape(-1)].reshape(side, side, -1).contiguous()
    reach = side / 2 - 1 if radius is None else min(radius, side / 2 - 1)
    while reach >= 1:
        _settle(grid, order, int(reach), improvement, draws)
        reach *= SHRINK
    return order.reshape(-1)


def neighbour_variance(values: Float[Tensor, "N C"]) -> float:
    """Mean over both directions of the variance of differences of neighbours (VAD): low is smooth."""
    side = math.isqrt(len(values))
    grid = values.reshape(side, side, -1)
    return float(torch.stack([grid.diff(dim=axis).var(correction=0) for axis in (0, 1)]).mean())


@dataclass(frozen=True)
class _Draws:
    """What a sort draws: places of blocks on the host, permutations where the grid is, so that none is copied there."""

    hosted: torch.Generator
    there: torch.Generator

    @classmethod
    def of(cls, generator: torch.Generator | None, device: torch.device) -> _Draws:
        """Of one number of ``generator``, whichever device draws it."""
        drawn_on = torch.device("cpu") if generator is None else generator.device
        seed = int(torch.randint(2**62, (), generator=generator, device=drawn_on))
        return cls(torch.Generator().manual_seed(seed), torch.Generator(device).manual_seed(seed + 1))

    def shift(self, side: int) -> tuple[int, int]:
        """A cell of the grid."""
        top, left = torch.randint(side, (2,), generator=self.hosted).tolist()
        return top, left

    def permutation(self, count: int) -> Int[Tensor, " N"]:
        """Of ``count`` numbers."""
        return torch.randperm(count, generator=self.there, device=self.there.device)


def _settle(grid: Tensor, order: Tensor, radius: int, improvement: float, draws: _Draws) -> None:
    """One round: rows move towards the mean of their neighbourhood until moving hardly helps."""
    side = grid.shape[0]
    target = neighbourhood_means(grid, radius)
    distance = float((grid - target).double().square().sum())
    block = min(max(SMALLEST_BLOCK, 2 * radius + 2), side // 2 * 2)
    tried = 0
    while distance > 0:
        shift = draws.shift(side)
        before = distance
        while True:
            gain = assign_fours_(grid, order, target, draws.permutation(block * block).reshape(-1, 4), block, shift)
            settled = gain < improvement * distance
            distance -= gain
            if settled:
                break
        tried += 1
        if tried >= CONFIGURATIONS and before - distance < improvement * before:
            return
