import pytest
import torch

from scenekit.core.bounds import Bounds
from scenekit.core.protocols import ParameterGroup
from scenekit.core.rays import Rays, Samples
from scenekit.kernels.composite import composite
from scenekit.kernels.march import Marched
from scenekit.renderers.early_stop import ROUND, WIDEST, first_samples, owners, reached, samples_at


class Wall:
    """Thin fog, and a wall from x = 1 on; ``asked`` has how many samples each round had."""

    bounds = Bounds(extent=4.0)

    def __init__(self) -> None:
        self.asked: list[int] = []

    def density(self, samples: Samples) -> tuple[torch.Tensor, torch.Tensor]:
        self.asked.append(len(samples))
        return torch.where(samples.positions[:, 0] > 1, 50.0, 0.1), samples.positions

    def color(self, features: torch.Tensor, samples: Samples) -> torch.Tensor:
        return features.sigmoid()

    def parameter_groups(self) -> list[ParameterGroup]:
        return []


def some_rays(counts: list[int]) -> tuple[Rays, Marched]:
    generator = torch.Generator().manual_seed(0)
    directions = torch.nn.functional.normalize(torch.randn(len(counts), 3, generator=generator), dim=-1)
    ones = torch.ones(len(counts))
    rays = Rays(torch.zeros(len(counts), 3), directions, ones, ones * 0.01)
    distances = torch.cat([torch.arange(n) * 0.05 + 0.025 for n in counts])
    offsets = torch.tensor([0, *counts]).cumsum(0)
    return rays, Marched(distances, torch.full_like(distances, 0.05), offsets)


def rendered(rays: Rays, marched: Marched) -> torch.Tensor:
    samples = samples_at(rays, owners(marched), marched.distances, marched.deltas)
    density, features = Wall().density(samples)
    alphas = 1 - torch.exp(-density * samples.deltas)
    return composite(alphas, Wall().color(features, samples), marched.distances, marched.offsets).colors


def test_what_is_left_out_was_never_seen() -> None:
    rays, marched = some_rays([100, 0, 3, 24, 25, 77] * 20)
    kept = reached(Wall(), rays, marched)
    torch.testing.assert_close(rendered(rays, kept.marched), rendered(rays, marched))
    assert len(kept.marched.distances) < len(marched.distances)
    toward_wall = rays.directions[owners(kept.marched), 0] * kept.marched.distances
    assert toward_wall.max() < 1.3


def test_densities_and_features_are_those_of_the_kept_samples() -> None:
    rays, marched = some_rays([60, 5, 0, 90])
    kept = reached(Wall(), rays, marched)
    samples = samples_at(rays, owners(kept.marched), kept.marched.distances, kept.marched.deltas)
    density, features = Wall().density(samples)
    assert torch.equal(kept.density, density)
    assert torch.equal(kept.features, features)


def test_few_rays_are_asked_for_more_samples_at_once_where_rounds_are_dear(monkeypatch: pytest.MonkeyPatch) -> None:
    rays, marched = some_rays([20] * 95 + [500] * 5)
    often, seldom = Wall(), Wall()
    expected = reached(often, rays, marched)
    monkeypatch.setitem(WIDEST, "cpu", 1024)
    found = reached(seldom, rays, marched)
    assert torch.equal(found.marched.offsets, expected.marched.offsets)
    assert torch.equal(found.marched.distances, expected.marched.distances)
    assert torch.equal(found.density, expected.density)
    assert len(often.asked) > 5
    assert len(seldom.asked) == 3  # none, 24 of every ray, and all that five of them have left
    assert max(seldom.asked) <= 100 * ROUND


def test_rays_without_samples_reach_nothing() -> None:
    rays, marched = some_rays([0, 0])
    kept = reached(Wall(), rays, marched)
    assert kept.marched.offsets.tolist() == [0, 0, 0]
    assert kept.features.shape == (0, 3)


def test_first_samples_are_those_of_each_ray() -> None:
    _, marched = some_rays([4, 0, 3, 2])
    counts = torch.tensor([2, 0, 3, 0])
    kept = first_samples(marched, counts)
    parts = [d[:n] for d, n in zip(marched.distances.split([4, 0, 3, 2]), counts.tolist(), strict=True)]
    assert torch.equal(kept.distances, torch.cat(parts))
    assert kept.offsets.tolist() == [0, 2, 2, 5, 5]
    assert len(kept.deltas) == 5
