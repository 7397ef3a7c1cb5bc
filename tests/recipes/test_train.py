"""What a training begins with where poses are in doubt."""

from __future__ import annotations

import dataclasses
import importlib
from pathlib import Path

import pytest
import torch

from scenekit.core.checks import BadInput
from scenekit.core.protocols import Context
from scenekit.data import Capture, synthetic
from scenekit.data.triangulate import Triangulation
from scenekit.recipes import Fitting, prepare
from scenekit.recipes.configs import SplatFitting
from scenekit.recipes.corrections import Supervision
from scenekit.representations import Gaussians, HashGrid
from scenekit.training.steps import steps


def capture() -> Capture:
    return dataclasses.replace(synthetic.make(9, (16, 16)), points=None)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Points of poses that stand one higher if these are doubted; remembers whether they were."""
    doubts: list[bool] = []

    def triangulate(of: Capture, cache: Path | None, *, doubted: bool) -> Triangulation:
        doubts.append(doubted)
        poses = of.cameras.world_from_camera[list(of.train)].clone()
        poses[:, 2, 3] += float(doubted)
        points = synthetic.make(9, (16, 16)).points
        assert points is not None
        return Triangulation(points, len(poses), 1, poses, float(doubted), 0.0, 0.0)

    monkeypatch.setattr(importlib.import_module("scenekit.recipes.train"), "triangulate", triangulate)
    return doubts


@pytest.mark.parametrize("refine", [False, True])
def test_gaussians_start_from_points_and_the_poses_that_these_have(asked: list[bool], refine: bool) -> None:
    given = capture()
    session = prepare(given, Gaussians(max_count=50), Fitting(steps=1), supervision=Supervision(refine_poses=refine))
    moved = session.capture.cameras.centres - given.cameras.centres
    assert asked == [refine]
    torch.testing.assert_close(moved[list(given.train), 2], torch.full((len(given.train),), float(refine)).double())
    assert not moved[list(given.test)].any()
    assert torch.equal(session.scene.cameras.centres, session.capture.cameras.centres)


def test_fields_need_no_points_and_keep_the_poses_to_start_from(asked: list[bool]) -> None:
    given = capture()
    session = prepare(given, HashGrid(log2_table=8), Fitting(steps=1), supervision=Supervision(refine_poses=True))
    assert asked == []
    assert torch.equal(session.capture.cameras.centres, given.cameras.centres)


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("supervision", "found"),
    [
        (Supervision(depth_weight=0.1), "wanted depth in world units"),
        (Supervision(normal_weight=0.1), "wanted measured normals"),
        (Supervision(appearance="exposure", reference="nobody"), "wanted the name of a training photograph"),
    ],
)
def test_what_the_capture_cannot_serve_is_refused_before_points_are_looked_for(
    asked: list[bool], supervision: Supervision, found: str
) -> None:
    given = capture()
    assert given.depths is not None
    millimetres = dataclasses.replace(given, depths=tuple(depth * 1000 for depth in given.depths))
    with pytest.raises(BadInput, match=found):
        prepare(millimetres, Gaussians(max_count=50), Fitting(steps=1), supervision=supervision)
    assert asked == []


@pytest.mark.bad_input
def test_a_step_sees_one_photograph_at_least(asked: list[bool]) -> None:
    with pytest.raises(BadInput, match="--batch-photographs: wanted 1 or more, found 0"):
        prepare(capture(), Gaussians(max_count=50), Fitting(steps=1), SplatFitting(batch_photographs=0))


def test_training_looks_at_as_many_photographs_a_step_as_it_is_asked_to(asked: list[bool]) -> None:
    session = prepare(capture(), Gaussians(max_count=50), Fitting(steps=2), SplatFitting(batch_photographs=3))
    assert session.training.batches == session.training.optimizer.batches == 3
    assert len(session.training.objective.next(Context(generator=torch.Generator())).target) == 3
    assert len(list(steps(session.training))) == 2
