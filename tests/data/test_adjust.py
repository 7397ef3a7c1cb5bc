"""Poses in doubt are found again from what the photographs have in common, and left alone where they are right."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from torch import Tensor

from scenekit.core.cameras import Cameras
from scenekit.core.transforms import Similarity, invert_rigid, matrix_from_quaternion
from scenekit.data import synthetic, triangulate
from scenekit.data.adjust import back
from scenekit.data.capture import Capture
from scenekit.data.features import Features

VIEWS, POINTS, SIDE = 20, 500, 240


@pytest.fixture(scope="module")
def capture() -> Capture:
    """Where the cameras of the still life stand, with more pixels than are worth painting."""
    small = synthetic.make(VIEWS, (24, 24))
    images = (torch.zeros(SIDE, SIDE, 3, dtype=torch.uint8),) * VIEWS
    return dataclasses.replace(small, cameras=small.cameras.resized([(SIDE, SIDE)] * VIEWS), images=images, depths=None)


@pytest.fixture
def found(capture: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    """Features that are what the true cameras see of random points, to half a pixel, each with a face of its own."""
    generator = torch.Generator().manual_seed(0)
    points = 0.6 * torch.randn(POINTS, 3, generator=generator, dtype=torch.float64)
    faces = torch.nn.functional.normalize(torch.randn(POINTS, 128, generator=generator), dim=-1)
    features = []
    for index in capture.train:
        pose = invert_rigid(capture.cameras.world_from_camera[index])
        x, y, z = (points @ pose[:, :3].T + pose[:, 3]).unbind(-1)
        fx, fy, cx, cy = capture.cameras.intrinsics[index]
        seen = torch.stack([fx * x / z + cx, fy * y / z + cy], -1)
        seen = seen + 0.3 * torch.randn(POINTS, 2, generator=generator, dtype=torch.float64)
        inside = ((seen > 0) & (seen < SIDE)).all(-1) & (torch.rand(POINTS, generator=generator) < 0.7)
        features.append(Features(seen[inside].float(), faces[inside]))
    monkeypatch.setattr(triangulate, "detect", lambda images: features)


def perturbed(capture: Capture, degrees: float, share: float) -> Capture:
    """Training poses turned about random axes and shifted by a share of the mean distance from the middle."""
    generator = torch.Generator().manual_seed(1)
    poses = capture.cameras.world_from_camera.clone()
    spread = (capture.cameras.centres - capture.cameras.centres.mean(0)).norm(dim=-1).mean()
    for index in capture.train:
        axis, shift = torch.nn.functional.normalize(torch.randn(2, 3, generator=generator, dtype=torch.float64), dim=-1)
        half = math.radians(degrees) / 2
        turn = matrix_from_quaternion(torch.cat([torch.tensor([math.cos(half)]), math.sin(half) * axis]))
        poses[index, :, :3] = poses[index, :, :3] @ turn
        poses[index, :, 3] += share * spread * shift
    return dataclasses.replace(capture, cameras=dataclasses.replace(capture.cameras, world_from_camera=poses))


def errors(capture: Capture, poses: Tensor) -> tuple[float, float]:
    """Mean angle in degrees, and mean distance in shares of the spread, after a similarity."""
    true = capture.cameras.world_from_camera[list(capture.train)]
    placed = Similarity.between(poses[..., 3], true[..., 3]).poses(poses)
    turn = placed[..., :3].transpose(-1, -2) @ true[..., :3]
    cosine = ((turn.diagonal(dim1=-2, dim2=-1).sum(-1) - 1) / 2).clamp(-1, 1)
    spread = (true[..., 3] - true[..., 3].mean(0)).norm(dim=-1).mean()
    return float(cosine.acos().rad2deg().mean()), float((placed[..., 3] - true[..., 3]).norm(dim=-1).mean() / spread)


@pytest.mark.usefixtures("found")
def test_poses_off_by_a_degree_are_found_again(capture: Capture) -> None:
    wrong = perturbed(capture, 1.0, 0.01)
    after = triangulate.triangulate(wrong, doubted=True)
    angle, distance = errors(capture, after.poses)
    assert angle < 0.05
    assert distance < 0.0015
    assert after.turned == pytest.approx(1.0, abs=0.1)


@pytest.mark.usefixtures("found")
def test_as_a_whole_cameras_stay_where_they_were(capture: Capture) -> None:
    wrong = perturbed(capture, 1.0, 0.01)
    after = triangulate.triangulate(wrong, doubted=True).poses
    given = wrong.cameras[capture.train]
    frame = back(given, dataclasses.replace(given, world_from_camera=after))
    torch.testing.assert_close(frame.rotation, torch.eye(3, dtype=torch.float64), atol=1e-6, rtol=0)
    torch.testing.assert_close(frame.translation, torch.zeros(3, dtype=torch.float64), atol=1e-6, rtol=0)
    assert frame.scale == pytest.approx(1, abs=1e-6)


@pytest.mark.usefixtures("found")
@pytest.mark.parametrize("doubted", [False, True])
def test_right_poses_are_kept_bit_for_bit(capture: Capture, doubted: bool) -> None:
    kept = triangulate.triangulate(capture, doubted=doubted)
    assert torch.equal(kept.poses, capture.cameras.world_from_camera[list(capture.train)])
    assert kept.turned == 0


def test_photographs_that_share_nothing_keep_their_poses(capture: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    nothing = Features(torch.zeros(0, 2), torch.zeros(0, 128))
    monkeypatch.setattr(triangulate, "detect", lambda images: [nothing] * len(images))
    kept = triangulate.triangulate(capture, doubted=True)
    assert len(kept.points) == 0
    assert torch.equal(kept.poses, capture.cameras.world_from_camera[list(capture.train)])


def test_a_turn_about_the_line_that_cameras_stand_on_is_undone() -> None:
    poses = torch.eye(3, 4, dtype=torch.float64).repeat(5, 1, 1)
    poses[:, 0, 3] = torch.arange(5)
    intrinsics = torch.tensor([100.0, 100.0, 50.0, 50.0], dtype=torch.float64).repeat(5, 1)
    given = Cameras(poses, intrinsics, ((100, 100),) * 5)
    half = math.radians(20) / 2
    turn = matrix_from_quaternion(torch.tensor([math.cos(half), math.sin(half), 0, 0], dtype=torch.float64))
    drifted = given.moved(Similarity(1.3, turn, torch.tensor([0.2, -0.1, 0.4], dtype=torch.float64)))
    again = drifted.moved(back(given, drifted))
    torch.testing.assert_close(again.world_from_camera, given.world_from_camera)
