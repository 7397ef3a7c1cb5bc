import itertools

import torch

from scenekit.renderers.distortion import distortion


def slow(weights: torch.Tensor, positions: torch.Tensor, widths: torch.Tensor) -> torch.Tensor:
    pairs = weights[:, None] * weights * (positions[:, None] - positions).abs()
    return pairs.sum() + (weights.square() * widths).sum() / 3


def test_prefix_sums_equal_the_double_sum_ray_by_ray() -> None:
    generator = torch.Generator().manual_seed(0)
    counts = [5, 0, 1, 9]
    offsets = torch.tensor([0, 5, 5, 6, 15])
    weights = torch.rand(15, generator=generator, dtype=torch.float64)
    distances = torch.cat([torch.rand(n, generator=generator, dtype=torch.float64).sort().values for n in counts])
    deltas = torch.rand(15, generator=generator, dtype=torch.float64) * 0.1
    owners = torch.repeat_interleave(offsets.diff())
    expected = torch.stack(
        [slow(weights[a:b], distances[a:b], deltas[a:b]) for a, b in itertools.pairwise(offsets)]
    ).mean()
    torch.testing.assert_close(distortion(weights, distances, deltas, owners, offsets, 1.0), expected)


def test_weight_in_one_place_is_distorted_less_than_weight_in_two() -> None:
    distances, deltas, offsets = torch.tensor([1.0, 2.0, 3.0]), torch.full((3,), 0.1), torch.tensor([0, 3])
    rest = distances, deltas, torch.zeros(3, dtype=torch.int64), offsets, 4.0
    gathered = distortion(torch.tensor([0.0, 1.0, 0.0]), *rest)
    spread = distortion(torch.tensor([0.5, 0.0, 0.5]), *rest)
    assert gathered < spread


def test_its_gradient_is_that_of_the_formula() -> None:
    distances = torch.tensor([0.5, 0.7, 1.5, 2.0], dtype=torch.float64)
    deltas = torch.full((4,), 0.1, dtype=torch.float64)
    weights = torch.tensor([0.1, 0.4, 0.2, 0.2], dtype=torch.float64, requires_grad=True)
    offsets = torch.tensor([0, 2, 4])
    owners = torch.tensor([0, 0, 1, 1])
    assert torch.autograd.gradcheck(lambda w: distortion(w, distances, deltas, owners, offsets, 4.0), weights)


def test_rows_that_are_nobodys_change_nothing() -> None:
    weights, distances, deltas = torch.rand(3, 6, generator=torch.Generator().manual_seed(0))
    weights[4:], distances[4:], deltas[4:] = 0, 0, 0
    offsets, owners = torch.tensor([0, 2, 4]), torch.tensor([0, 0, 1, 1, 1, 1])
    alone = distortion(weights[:4], distances[:4], deltas[:4], owners[:4], offsets, 4.0)
    torch.testing.assert_close(distortion(weights, distances, deltas, owners, offsets, 4.0), alone)
