"""Vectors and numbers by the nearest of a few: k-means, in two levels where there are many, and in one dimension."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

COARSE_ITERATIONS, FINE_ITERATIONS, LINE_ITERATIONS = 8, 10, 40
SAMPLE = 1 << 16
PRODUCTS = 1 << 22  # of vectors with centres at once: a coarse centre may own most vectors and most fine ones


def palette(vectors: Float[Tensor, "N D"], count: int) -> tuple[Float[Tensor, "K D"], Int[Tensor, " N"]]:
    """At most ``count`` centres for ``vectors`` (at least one), and which of them stands for each vector.

    Nothing is left to chance: the same vectors give the same centres.
    Space is first divided among about sqrt(count) coarse centres; each then gets its share of the fine ones by how
    many vectors it has and how far these spread. Plain k-means would compare every vector with every centre.
    """
    generator = torch.Generator().manual_seed(0)
    coarse = _lloyd(_some(vectors, SAMPLE, generator), max(1, round(count**0.5)), COARSE_ITERATIONS, generator)
    owner = nearest(vectors, coarse)
    members = [(owner == index).nonzero()[:, 0] for index in range(len(coarse))]
    members = [rows for rows in members if len(rows)]
    spreads = torch.tensor([float(vectors[rows].var(0, correction=0).sum().sqrt()) for rows in members])
    wanted = torch.tensor([float(len(rows)) for rows in members]) * (spreads + 1e-12)
    shares = (wanted / wanted.sum().clamp(min=1e-30) * (count - len(members))).floor().long() + 1
    centres, labels = [], torch.empty(len(vectors), dtype=torch.int64)
    start = 0
    for rows, share in zip(members, shares.tolist(), strict=True):
        mine = vectors[rows]
        fine = _lloyd(mine, min(share, len(rows)), FINE_ITERATIONS, generator)
        labels[rows] = nearest(mine, fine) + start
        centres.append(fine)
        start += len(fine)
    return torch.cat(centres), labels


def codebook(values: Float[Tensor, " V"], count: int) -> Float[Tensor, " count"]:
    """Centres, in rising order, that lie near ``values``: k-means on a line, begun between quantiles and even steps."""
    line = values.double().sort().values
    share = torch.linspace(0, 1, count, dtype=torch.float64)
    quantiles = line[(share * (len(line) - 1)).long()]
    centres = (quantiles + line[0] + share * (line[-1] - line[0])) / 2
    sums = torch.cat([torch.zeros(1, dtype=torch.float64), line.cumsum(0)])
    for _ in range(LINE_ITERATIONS):
        ends = torch.searchsorted(line, (centres[1:] + centres[:-1]) / 2)
        ends = torch.cat([torch.zeros(1, dtype=torch.int64), ends, torch.tensor([len(line)])])
        inside = ends.diff()
        centres = torch.where(inside > 0, sums[ends].diff() / inside.clamp(min=1), centres)
    return centres.sort().values.float()


def nearest_on_line(values: Float[Tensor, "*n"], centres: Float[Tensor, " count"]) -> Int[Tensor, "*n"]:
    """Which of the centres, in rising order, is nearest to each value."""
    return torch.searchsorted((centres[1:] + centres[:-1]) / 2, values.contiguous())


def nearest(vectors: Float[Tensor, "N D"], centres: Float[Tensor, "K D"]) -> Int[Tensor, " N"]:
    """Which centre is nearest to each vector."""
    squares = centres.square().sum(-1) / 2
    rows = max(1, PRODUCTS // len(centres))
    labels = torch.empty(len(vectors), dtype=torch.int64)
    # Into one result: one for each part would lie on the heap after its products, whose place none of the next fits.
    for part, mine in zip(vectors.split(rows), labels.split(rows), strict=True):
        torch.argmin(squares - part @ centres.T, -1, out=mine)
    return labels


def _lloyd(
    vectors: Float[Tensor, "N D"], count: int, iterations: int, generator: torch.Generator
) -> Float[Tensor, "K D"]:
    """Plain k-means, begun at vectors drawn at random; a centre that loses all its vectors stays where it is."""
    centres = _some(vectors, count, generator)
    if len(centres) == len(vectors):
        return centres
    for _ in range(iterations):
        owner = nearest(vectors, centres)
        sums = torch.zeros_like(centres).index_add_(0, owner, vectors)
        counts = torch.bincount(owner, minlength=len(centres))[:, None]
        centres = torch.where(counts > 0, sums / counts.clamp(min=1), centres)
    return centres


def _some(vectors: Float[Tensor, "N D"], count: int, generator: torch.Generator) -> Float[Tensor, "M D"]:
    if len(vectors) <= count:
        return vectors
    return vectors[torch.randperm(len(vectors), generator=generator)[:count]]
