"""Gaussians in a square grid whose neighbours are alike: what to sort by, and a loss that keeps the grid smooth.

Self-Organizing Gaussian Grids (Morgenstern et al. 2024, section 3.2): files of such a grid are a fraction as large.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from scenekit.kernels.grid_sort import sort_into_grid

BLUR_RADIUS = 2
BLUR_SIGMA = 3.0
# Shares of the attributes in the loss: rotations gain most, the others are left to the sorting.
OPACITY_SHARE, ROTATION_SHARE = 1 / 11, 10 / 11
# Beside the photographs' loss. The paper has 1, for trainings of 30,000 steps; a short one pays for it in quality.
WEIGHT = 0.05


def sorting_keys(
    means: Float[Tensor, "N 3"], log_scales: Float[Tensor, "N 3"], colors: Float[Tensor, "N 3"]
) -> Float[Tensor, "N 9"]:
    """What rows are compared by: positions, sizes and colours, each with mean 0 and variance 1 over its channels."""
    parts = (means.detach(), log_scales.detach().exp(), colors.detach())
    return torch.cat([(part - part.mean()) / _spread(part) for part in parts], -1)


def _spread(part: Tensor) -> Tensor:
    return part.std(correction=0).clamp(min=1e-12)


def square_order(
    opacity_logits: Float[Tensor, " N"],
    keys: Float[Tensor, "N C"],
    generator: torch.Generator | None,
    improvement: float,
) -> Int[Tensor, " M"]:
    """Rows that fill the largest square grid, sorted; the most transparent ones are left out."""
    side = math.isqrt(len(keys))
    kept = opacity_logits.detach().argsort(descending=True, stable=True)[: side * side].sort().values
    return kept[sort_into_grid(keys[kept], generator, improvement=improvement)]


def smoothness(opacity_logits: Float[Tensor, " N"], quaternions: Float[Tensor, "N 4"]) -> Float[Tensor, ""]:
    """Huber distance of the raw grids from their own blur, which is not differentiated; N is a square number.

    ``WEIGHT mean huber_1(x - blur(x))``, an 11th for opacities and ten for rotations; the blur is 5 by 5, a Gaussian of
    sigma 3, around the sides and reflected at the ends.
    """
    side = math.isqrt(len(opacity_logits))
    if side * side != len(opacity_logits):
        raise ValueError(f"smoothness: wanted a square number of Gaussians, found {len(opacity_logits)}")
    if side <= BLUR_RADIUS:
        return opacity_logits.sum() * 0
    grid = torch.cat([opacity_logits[:, None], quaternions], -1).T.reshape(5, side, side)
    distances = torch.nn.functional.huber_loss(grid, blurred(grid.detach()), reduction="none")
    return WEIGHT * (OPACITY_SHARE * distances[0].mean() + ROTATION_SHARE * distances[1:].mean())


def blurred(grid: Float[Tensor, "C H W"]) -> Float[Tensor, "C H W"]:
    """Every cell the weighted mean of the 5 by 5 about it."""
    offsets = torch.arange(-BLUR_RADIUS, BLUR_RADIUS + 1)
    taps = torch.exp(-offsets.square() / (2 * BLUR_SIGMA**2))
    shares = (taps / taps.sum()).tolist()
    height, width = grid.shape[-2:]
    wide = torch.cat([grid[..., -BLUR_RADIUS:], grid, grid[..., :BLUR_RADIUS]], -1)
    rows = _weighted([wide[..., i : i + width] for i in range(len(shares))], shares)
    top, bottom = rows[..., 1 : BLUR_RADIUS + 1, :].flip(-2), rows[..., -BLUR_RADIUS - 1 : -1, :].flip(-2)
    tall = torch.cat([top, rows, bottom], -2)
    return _weighted([tall[..., i : i + height, :] for i in range(len(shares))], shares)


def _weighted(parts: Sequence[Tensor], shares: Sequence[float]) -> Tensor:
    """Sums of shifted grids: for five taps far cheaper than a convolution by channel."""
    total = parts[0] * shares[0]
    for part, share in zip(parts[1:], shares[1:], strict=True):
        total = torch.add(total, part, alpha=share)
    return total
