"""Gaussians that hang in the air: what is not joined to the bulk of a scene."""

from __future__ import annotations

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from scenekit.core.bounds import contract
from scenekit.representations.gaussian_cloud import GaussianCloud

# Cells a side over all of contracted space: so that surfaces of N Gaussians leave no gaps in themselves.
FEWEST_CELLS, MOST_CELLS = 8, 96
FAINTEST = 0.1  # opacity in a cell that joins it to its neighbours
BULK = 0.01  # share of all opacity that a piece must hold to stay


def floating(cloud: GaussianCloud) -> Bool[Tensor, " N"]:
    """Which Gaussians stand in cells whose connected piece holds less than a hundredth of all opacity.

    Space beyond the middle half of the scene is contracted, so that cells grow with distance as gaps do.
    """
    if len(cloud) == 0:
        return torch.zeros(0, dtype=torch.bool)
    centre = cloud.means.median(0).values
    radius = (cloud.means - centre).norm(dim=-1).median().clamp(min=1e-12)
    places = contract((cloud.means - centre) / radius)
    side = min(MOST_CELLS, max(FEWEST_CELLS, math.isqrt(len(cloud)) // 2))
    index = ((places / 4 + 0.5) * side).long().clamp(0, side - 1)
    flat = (index[:, 0] * side + index[:, 1]) * side + index[:, 2]
    opacities = cloud.opacity_logits.double().sigmoid()
    held = torch.zeros(side**3, dtype=torch.float64).index_add_(0, flat, opacities)
    piece = _pieces((held >= FAINTEST).reshape(side, side, side)).reshape(-1)
    sums = torch.zeros(side**3 + 1, dtype=torch.float64).index_add_(0, piece, held)
    sums[0] = 0  # what no cell joins
    return sums[piece[flat]] < BULK * held.sum()


def _pieces(solid: Bool[Tensor, "X Y Z"]) -> Tensor:
    """A number from 1 for each connected piece (corners touch too), 0 elsewhere: the largest number spreads."""
    numbers = torch.arange(1, solid.numel() + 1, dtype=torch.float32).reshape(solid.shape) * solid
    while True:
        spread: Float[Tensor, "X Y Z"] = torch.nn.functional.max_pool3d(numbers[None], 3, 1, 1)[0] * solid
        if torch.equal(spread, numbers):
            return numbers.long()
        numbers = spread
