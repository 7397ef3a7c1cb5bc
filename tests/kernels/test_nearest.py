from __future__ import annotations

import math

import pytest
import torch

from scenekit.kernels import nearest


def _cloud(kind: str, count: int, dimensions: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(3)
    cloud = torch.rand(count, dimensions, generator=generator)
    if kind == "clustered":
        return 0.5 + 0.3 * (cloud - 0.5) ** 5
    if kind == "flat":
        cloud[:, -1] = 0.25
    return cloud


@pytest.mark.parametrize("dimensions", [1, 2, 3, 4])
@pytest.mark.parametrize("kind", ["uniform", "clustered", "flat"])
@pytest.mark.parametrize(("count", "k"), [(1, 1), (7, 7), (500, 1), (3000, 6)])
def test_the_same_points_as_by_comparing_all(dimensions: int, kind: str, count: int, k: int):
    points = _cloud(kind, count, dimensions)
    queries = 2 * torch.rand(400, dimensions, generator=torch.Generator().manual_seed(5)) - 0.5
    distances = (queries[:, None] - points).norm(dim=-1)
    found = nearest(queries, points, k)
    torch.testing.assert_close(distances.gather(1, found), distances.sort(-1).values[:, :k], rtol=0, atol=2e-6)
    assert all(len(set(row)) == k for row in found.tolist())


def test_of_equally_near_points_the_first_is_taken():
    points = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]).repeat(3, 1)
    assert nearest(torch.tensor([[0.5, 0.5], [0.9, 0.9]]), points, 3).tolist() == [[0, 1, 2], [3, 7, 11]]


def test_what_is_not_a_number_finds_some_point():
    found = nearest(torch.tensor([[math.nan, 0.0, 0.0], [math.inf, 0.0, 0.0]]), _cloud("uniform", 50, 3), 4)
    assert ((found >= 0) & (found < 50)).all()


@pytest.mark.bad_input
def test_wrong_arguments_are_named():
    points = torch.rand(5, 3)
    with pytest.raises(ValueError, match="count: wanted 1 to the number of points, 5, found 6"):
        nearest(points, points, 6)
    with pytest.raises(ValueError, match="points: wanted shape"):
        nearest(points, points[:, :2], 1)
    with pytest.raises(TypeError, match="queries: wanted"):
        nearest(points.double(), points, 1)
