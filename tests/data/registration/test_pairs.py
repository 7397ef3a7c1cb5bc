"""Which photographs are compared."""

from __future__ import annotations

import numpy as np
import torch

from scenekit.data.registration.pairs import alike, all_pairs, describe, in_sequence


def test_all_pairs_are_each_there_once() -> None:
    assert all_pairs(4) == [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)]


def test_a_sequence_compares_neighbours_and_then_ever_farther_frames() -> None:
    found = in_sequence(20, 3)
    assert {j for i, j in found if i == 0} == {1, 2, 3, 6, 12}
    assert all(0 <= i < j < 20 for i, j in found)


def test_photographs_of_one_place_are_found_alike_without_a_vocabulary() -> None:
    generator = np.random.default_rng(0)
    places = generator.random((3, 200, 128)).astype(np.float32) ** 4
    photographs = [places[k % 3] + 0.05 * generator.random((200, 128)).astype(np.float32) for k in range(12)]
    found = alike(describe(photographs), 3)
    assert len(found) == 3 * 6
    assert all(i % 3 == j % 3 for i, j in found)


def test_partners_keep_the_distance_that_is_asked_for() -> None:
    described = torch.nn.functional.normalize(torch.rand(10, 6, generator=torch.Generator().manual_seed(0)), dim=-1)
    assert all(j - i >= 4 for i, j in alike(described, 9, apart=4))


def test_photographs_without_features_are_described_by_zeros() -> None:
    described = describe([np.zeros((0, 128), np.float32), np.ones((3, 128), np.float32)])
    assert described[0].abs().sum() == 0
