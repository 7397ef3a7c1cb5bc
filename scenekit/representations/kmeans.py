"""Clusters of weighted points: where adaptive functions are put, and how wide they are."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from scenekit.kernels.nearest import nearest

SPREAD = 2.0  # NeuRBF divides the covariance of a cluster by 0.5
WIDEST = 0.1  # of the unit cube's side


def weighted_kmeans(
    points: Float[Tensor, "M D"],
    weights: Float[Tensor, " M"],
    count: int,
    generator: torch.Generator | None = None,
    *,
    rounds: int = 10,
) -> tuple[Float[Tensor, "count D"], Int[Tensor, " M"]]:
    """Centres of ``count`` clusters that begin at points drawn by weight, and the cluster of each point.

    Lloyd's rounds move a centre to the weighted mean of the points nearest to it; one without points stays. M is
    below 2^24. Raises ValueError where no weight is positive or one is negative or not finite.
    """
    if not (weights >= 0).all() or not weights.isfinite().all() or not (weights > 0).any():
        raise ValueError("weights: wanted finite ones, none negative and some positive")
    enough = int((weights > 0).sum()) >= count
    seeds = torch.multinomial(weights.float(), count, replacement=not enough, generator=generator)
    centers = points[seeds].clone()
    if not enough:  # the same point twice: apart from each other
        centers += 1e-3 * torch.randn(centers.shape, generator=generator, device=centers.device).to(centers)
    for _ in range(rounds):
        owners = nearest(points, centers, 1).squeeze(1)
        total = weights.new_zeros(count).index_add_(0, owners, weights)
        sums = torch.zeros_like(centers).index_add_(0, owners, points * weights[:, None])
        centers = torch.where(total[:, None] > 0, sums / total.clamp(min=1e-30)[:, None], centers)
    return centers, nearest(points, centers, 1).squeeze(1)


def whitening_of(
    points: Float[Tensor, "M D"],
    weights: Float[Tensor, " M"],
    centers: Float[Tensor, "N D"],
    owners: Int[Tensor, " M"],
) -> Float[Tensor, "N D D"]:
    """Matrices W with ``W (x - c)`` of length 1 at a cluster's spread: rows are axes over standard deviations.

    Deviations are at least half the way to the next centre, so that neighbours overlap, and at most ``WIDEST`` unless
    that is less.
    """
    offsets = points - centers[owners]
    outer = offsets[:, :, None] * offsets[:, None] * weights[:, None, None]
    total = weights.new_zeros(len(centers)).index_add_(0, owners, weights).clamp(min=1e-30)
    covariance = torch.zeros_like(outer[:1]).repeat(len(centers), 1, 1).index_add_(0, owners, outer)
    values, axes = torch.linalg.eigh(SPREAD * covariance / total[:, None, None])
    least = 0.5 * spacing_of(centers)[:, None]
    deviations = torch.maximum(values.clamp(min=0).sqrt().clamp(max=WIDEST), least)
    return axes.mT / deviations[..., None]


def spacing_of(centers: Float[Tensor, "N D"]) -> Float[Tensor, " N"]:
    """How far the nearest other centre is; at least a millionth."""
    if len(centers) < 2:
        return centers.new_full((len(centers),), WIDEST)
    other = centers[nearest(centers, centers, 2)[:, 1]]
    return (centers - other).norm(dim=-1).clamp(min=1e-6)
