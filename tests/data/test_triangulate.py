"""Triangulated points lie on the surfaces, come from training photographs alone, and are kept."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import pytest
import torch

from scenekit.core.transforms import invert_rigid
from scenekit.data import synthetic
from scenekit.data.capture import Capture
from scenekit.data.features import Features, fundamental, match, neighbours
from scenekit.data.triangulate import triangulate


@pytest.fixture(scope="module")
def orbit() -> Capture:
    """Views close enough to each other for features to match: every other one of a dense orbit."""
    capture = synthetic.make(16, (128, 128))
    order = sorted(range(16), key=lambda i: math.atan2(*capture.cameras.centres[i, :2].tolist()))
    return dataclasses.replace(
        capture,
        cameras=capture.cameras[order],
        images=tuple(capture.images[i] for i in order),
        depths=None if capture.depths is None else tuple(capture.depths[i] for i in order),
    )


def test_points_lie_on_the_surfaces_and_show_their_colour(orbit: Capture, tmp_path: Path) -> None:
    result = triangulate(orbit, tmp_path)
    assert len(result.points) > 30
    assert result.images == len(orbit.train)
    assert result.cpu_seconds > 0
    assert orbit.depths is not None
    closest = torch.full((len(result.points),), torch.inf, dtype=torch.float64)
    for i in orbit.train:
        pose = invert_rigid(orbit.cameras.world_from_camera[i])
        x, y, z = (result.points.positions @ pose[:, :3].T + pose[:, 3]).unbind(-1)
        fx, fy, cx, cy = orbit.cameras.intrinsics[i]
        u, v = (fx * x / z + cx).long().clamp(0, 127), (fy * y / z + cy).long().clamp(0, 127)
        closest = torch.minimum(closest, (orbit.depths[i][v, u] - z).abs())
    assert float(closest.median()) < 0.02
    again = triangulate(orbit, tmp_path)
    assert again.cpu_seconds == 0
    assert torch.equal(again.points.positions, result.points.positions)


def test_held_out_photographs_are_never_looked_at(orbit: Capture, tmp_path: Path) -> None:
    blank = tuple(torch.zeros_like(image) if i in orbit.test else image for i, image in enumerate(orbit.images))
    triangulate(orbit, tmp_path)
    kept = triangulate(dataclasses.replace(orbit, images=blank), tmp_path)
    assert kept.cpu_seconds == 0  # the same key: nothing it was made from has changed


def test_other_poses_are_not_served_from_the_cache(orbit: Capture, tmp_path: Path) -> None:
    few = dataclasses.replace(orbit, train=orbit.train[:2])
    first = triangulate(few, tmp_path)
    poses = few.cameras.world_from_camera.clone()
    poses[:, 0, 3] += 0.1
    moved = dataclasses.replace(few, cameras=dataclasses.replace(few.cameras, world_from_camera=poses))
    assert triangulate(moved, tmp_path).cpu_seconds > 0
    assert len(list(tmp_path.iterdir())) == 2
    assert first.images == 2


def test_photographs_without_features_give_no_points(orbit: Capture) -> None:
    blank = dataclasses.replace(orbit, images=tuple(torch.full_like(image, 90) for image in orbit.images))
    assert len(triangulate(blank).points) == 0


def test_matches_agree_with_the_geometry_and_find_the_right_partner(orbit: Capture) -> None:
    generator = torch.Generator().manual_seed(0)
    count = 60
    points = 0.5 * torch.randn(count, 3, generator=generator, dtype=torch.float64)
    descriptors = torch.nn.functional.normalize(torch.randn(count, 128, generator=generator), dim=-1)
    (i, j), *_ = neighbours(orbit.cameras, 1)
    seen = []
    for index in (i, j):
        pose = invert_rigid(orbit.cameras.world_from_camera[index])
        x, y, z = (points @ pose[:, :3].T + pose[:, 3]).unbind(-1)
        fx, fy, cx, cy = orbit.cameras.intrinsics[index]
        seen.append(torch.stack([fx * x / z + cx, fy * y / z + cy], -1))
    geometry = fundamental(orbit.cameras, i, j)
    shuffle = torch.randperm(count, generator=generator)
    found = match(
        Features(seen[0].float(), descriptors),
        Features(seen[1][shuffle].float(), descriptors[shuffle]),
        geometry,
    )
    assert len(found) == count
    assert torch.equal(shuffle[found[:, 1]], found[:, 0])
    # The same descriptors far from their epipolar lines match nothing.
    away = Features(seen[1].float() + torch.tensor([40.0, 40.0]), descriptors)
    assert len(match(Features(seen[0].float(), descriptors), away, geometry)) < count / 4
