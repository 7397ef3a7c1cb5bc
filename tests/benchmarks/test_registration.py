"""How far found cameras are from given ones."""

import pytest
import torch

from benchmarks.registration import centre_errors
from scenekit.core.transforms import Similarity, matrix_from_quaternion


def ring(count: int) -> torch.Tensor:
    """Centres at distance 1 from their middle."""
    angles = torch.arange(count, dtype=torch.float64) * (2 * torch.pi / count)
    return torch.stack([angles.cos(), angles.sin(), torch.zeros(count, dtype=torch.float64)], -1)


def test_another_frame_is_no_error() -> None:
    turn = matrix_from_quaternion(torch.tensor([0.9, 0.1, -0.3, 0.2], dtype=torch.float64))
    moved = Similarity(7.0, turn, torch.tensor([3.0, -1, 2], dtype=torch.float64)).points(ring(12))
    found = centre_errors(list(zip(moved, ring(12), strict=True)))
    assert found["compared"] == 12
    assert found["largest_centre_error_percent"] == pytest.approx(0, abs=1e-6)


def test_errors_are_hundredths_of_the_given_centres_mean_distance_from_their_middle() -> None:
    """Every other camera too high and too low: no similarity makes that good."""
    given = 5 * ring(20)
    shift = torch.zeros_like(given)
    shift[:, 2] = 0.1 * torch.tensor([1.0, -1.0]).repeat(10)
    found = centre_errors(list(zip(0.5 * (given + shift), given, strict=True)))
    assert found["centre_error_percent"] == pytest.approx(2.0, rel=0.01)
    assert found["largest_centre_error_percent"] == pytest.approx(2.0, rel=0.01)
