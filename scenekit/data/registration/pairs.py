"""Which photographs are compared: all, neighbours in time, or those that look alike.

Likeness needs no vocabulary from elsewhere: a small one is made of the photographs' own features, and each
photograph is described by what its features differ from their nearest word (VLAD; Jegou et al. 2010, eq. 2).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

WORDS = 32
ITERATIONS = 8  # of k-means
SAMPLES = 40_000
DESCRIBED = 1000  # features of a photograph, the largest
ALIKE = 20  # partners of a photograph among those that look alike
BESIDE = 3  # photographs before and after it: people walk on while they photograph
WINDOW = 8  # frames of a video after a frame, and then at distances that double
LOOPS = 3  # partners of a frame outside of that window


def all_pairs(count: int) -> list[tuple[int, int]]:
    """Every pair, in blocks so that neighbours in the list share photographs."""
    return [(i, j) for i in range(count) for j in range(i + 1, count)]


def in_sequence(count: int, window: int) -> set[tuple[int, int]]:
    """Neighbours within ``window``, and partners at twice that distance, four times, and so on."""
    steps = list(range(1, window + 1))
    while steps[-1] * 2 < count:
        steps.append(steps[-1] * 2)
    return {(i, i + step) for step in steps for i in range(count - step)}


def alike(described: Float[Tensor, "N D"], partners: int, apart: int = 1) -> set[tuple[int, int]]:
    """Each photograph with those most like it that are at least ``apart`` places away in the order."""
    count = len(described)
    likeness = described @ described.T
    places = torch.arange(count)
    likeness[(places[:, None] - places).abs() < apart] = -torch.inf
    chosen = likeness.topk(min(partners, max(0, count - 1)), dim=1)
    return {
        (min(i, j), max(i, j))
        for i, (values, row) in enumerate(zip(chosen.values.tolist(), chosen.indices.tolist(), strict=True))
        for value, j in zip(values, row, strict=True)
        if value > -torch.inf
    }


def describe(features: Sequence[NDArray[np.float32]]) -> Float[Tensor, "N D"]:
    """A unit vector for each photograph from its descriptors [M 128]; zeros where it has none."""
    rows = [torch.nn.functional.normalize(torch.from_numpy(each), dim=-1) for each in features]
    words = _words(torch.cat(rows))
    return torch.stack([_vlad(each, words) for each in rows])


def _words(descriptors: Float[Tensor, "N 128"]) -> Float[Tensor, "K 128"]:
    """k-means from evenly spaced starts over an evenly spaced sample: no randomness."""
    sample = descriptors[:: max(1, len(descriptors) // SAMPLES)]
    if len(sample) < WORDS:
        return torch.zeros(1, descriptors.shape[-1])
    words = sample[:: len(sample) // WORDS][:WORDS].clone()
    for _ in range(ITERATIONS):
        nearest = torch.cdist(sample, words).argmin(1)
        sums = torch.zeros_like(words).index_add_(0, nearest, sample)
        counts = torch.bincount(nearest, minlength=len(words)).clamp(min=1)
        words = torch.where((sums.norm(dim=-1) > 0)[:, None], sums / counts[:, None], words)
    return words


def _vlad(descriptors: Float[Tensor, "M 128"], words: Float[Tensor, "K 128"]) -> Float[Tensor, " D"]:
    total = torch.zeros_like(words)
    if len(descriptors):
        nearest = torch.cdist(descriptors, words).argmin(1)
        total.index_add_(0, nearest, descriptors - words[nearest])
    # Each word weighs the same however often it was seen: repeated structure would drown the rest.
    return torch.nn.functional.normalize(torch.nn.functional.normalize(total, dim=-1).reshape(-1), dim=0)
