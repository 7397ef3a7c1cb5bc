"""Where captures without a box lie: looked at from around, looked out of, or nearly parallel."""

from __future__ import annotations

import math

import pytest
import torch

from scenekit.core.cameras import Cameras, look_at
from scenekit.core.cloud import PointCloud
from scenekit.data.placement import convergence, ngp_placement, unbounded_placement

UP = torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64)
CENTRE = torch.tensor([5.0, -2.0, 1.0], dtype=torch.float64)


def circle(*, inwards: bool, radius: float = 3.0, count: int = 8) -> Cameras:
    poses = []
    for k in range(count):
        angle = 2 * math.pi * k / count
        place = CENTRE + radius * torch.tensor([math.cos(angle), math.sin(angle), 0.1 * (k % 2)]).double()
        target = CENTRE if inwards else 2 * place - CENTRE
        poses.append(look_at(place, target, UP))
    return Cameras(torch.stack(poses), torch.full((count, 4), 50.0).double(), ((8, 8),) * count)


def test_cameras_that_look_inwards_place_their_focus_at_the_origin() -> None:
    cameras = circle(inwards=True)
    focus = convergence(cameras)
    assert focus is not None
    torch.testing.assert_close(focus, CENTRE)
    similarity, bounds = unbounded_placement(cameras, None)
    assert bounds.contracted
    torch.testing.assert_close(similarity.points(CENTRE), torch.zeros(3, dtype=torch.float64))
    assert float(cameras.moved(similarity).centres.norm(dim=-1).mean()) == pytest.approx(1)


def test_cameras_that_look_outwards_stand_at_the_origin_and_half_their_points_within_one() -> None:
    cameras = circle(inwards=False, radius=0.3)
    assert convergence(cameras) is None
    points = CENTRE + 7 * torch.nn.functional.normalize(torch.randn(101, 3).double(), dim=-1)
    similarity, _ = unbounded_placement(cameras, PointCloud(points, points))
    moved = similarity.points(points).norm(dim=-1)
    assert float(moved.median()) == pytest.approx(1, abs=0.05)
    assert float(cameras.moved(similarity).centres.norm(dim=-1).max()) < 0.1


def test_parallel_cameras_meet_nowhere_and_are_placed_all_the_same() -> None:
    cameras = circle(inwards=True)
    parallel = Cameras(
        torch.cat([cameras.world_from_camera[:1, :, :3].expand(8, 3, 3), cameras.world_from_camera[:, :, 3:]], -1),
        cameras.intrinsics,
        cameras.sizes,
    )
    assert convergence(parallel) is None
    similarity, _ = unbounded_placement(parallel, None)
    assert math.isfinite(similarity.scale)
    assert similarity.scale > 0


def test_cameras_all_in_one_place_are_placed_all_the_same() -> None:
    cameras = circle(inwards=False, radius=0.0, count=2)
    similarity, _ = unbounded_placement(cameras, None)
    assert similarity.scale == 1


def test_instant_ngps_default_box_is_two_thirds_of_the_world() -> None:
    similarity, bounds = ngp_placement(aabb_scale=16.0)
    assert (similarity.scale, bounds.extent) == (0.66, 16.0)
    torch.testing.assert_close(similarity.translation, torch.zeros(3, dtype=torch.float64))
