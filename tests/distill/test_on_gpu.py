"""Conversions on a pretended GPU: no device is mixed, and steps that would be replayed neither wait nor copy."""

from __future__ import annotations

from dataclasses import replace
from importlib import import_module

import pytest
import torch

from scenekit.core.protocols import Context
from scenekit.data import synthetic
from scenekit.distill.bake import Baking, bake, coarser
from scenekit.distill.plan import Active, Distilling
from scenekit.distill.report import measure
from scenekit.recipes import Conversion, Converting, VolumeFitting, prepare_conversion
from scenekit.renderers.background import LearnedBackground
from scenekit.renderers.scene import Scene
from scenekit.renderers.volume import Marching
from scenekit.representations import REPRESENTATIONS, Gaussians, HashGrid
from scenekit.representations.networks import Networks
from scenekit.training.steps import steps
from tests.conformance.small import small_configs, small_session
from tests.pretend_gpu import Recorded, recording

from .teachers import ball_scene

convert = import_module("scenekit.recipes.convert")
GRID = HashGrid(levels=3, log2_table=10, finest=64, networks=Networks(width=16))
SPLATS = Gaussians(harmonics_degree=0, max_count=300)
FITTING = VolumeFitting(batch_samples=512, marching=Marching(steps=64, grid=16), occupancy_cells=1024)
ASKED = Distilling(views=12, surface_points=300)
STEPS = 24


def converted(scene: Scene, config: object, count: int = STEPS, asked: Distilling = ASKED) -> Conversion:
    fitting = None if isinstance(config, Gaussians) else FITTING
    conversion = prepare_conversion(scene, config, Converting(steps=count, seed=3), fitting, distilling=asked)
    found = list(steps(conversion.training))
    assert len(found) == count
    assert all(step.work > 0 for step in found)
    return conversion


def replayed(conversion: Conversion) -> int:
    passes = conversion.training.passes
    assert isinstance(passes, Recorded)
    return passes.again


def begun(name: str, count: int) -> Scene:
    """A scene at the beginning of its training on a CPU: what it shows does not matter."""
    session = small_session(name, synthetic.make(views=10, size=(24, 24)), count, {"volume": {"batch_samples": 2048}})
    for _ in steps(session.training):
        pass
    return session.scene


@pytest.fixture
def field() -> Scene:
    return begun("hash_grid", 60)


@pytest.fixture(params=sorted(set(REPRESENTATIONS) - {"hash_grid", "gaussians"}))
def other(request: pytest.FixtureRequest) -> Scene:
    return begun(request.param, 2)


@pytest.fixture
def splats() -> Scene:
    conversion = prepare_conversion(ball_scene(), SPLATS, Converting(steps=1), distilling=ASKED)
    for _ in steps(conversion.training):
        pass
    return conversion.scene


def test_a_field_becomes_a_field_and_every_step_is_recorded(field: Scene, pretended_gpu: torch.device) -> None:
    config, _ = small_configs("hash_grid")
    twin = converted(field, config)
    assert twin.scene.device == pretended_gpu
    assert [stage.name for stage in twin.plan.stages] == ["features", "points", "rendering"]
    assert replayed(twin) > STEPS - 12
    other = converted(field, GRID)
    assert [stage.name for stage in other.plan.stages] == ["points", "rendering"]
    assert replayed(other) > STEPS - 12


def test_a_field_becomes_splats_and_every_step_is_recorded(field: Scene, pretended_gpu: torch.device) -> None:
    made = converted(field, SPLATS)
    assert made.scene.device == pretended_gpu
    assert replayed(made) >= STEPS - 4


def test_splats_become_a_field_and_its_pictures_are_recorded(splats: Scene, pretended_gpu: torch.device) -> None:
    made = converted(splats, GRID)
    assert replayed(made) > STEPS - 8


def test_splats_become_splats(splats: Scene, pretended_gpu: torch.device) -> None:
    made = converted(splats, replace(SPLATS, harmonics_degree=1))
    assert replayed(made) >= STEPS - 4
    report = measure(made.teacher, made.scene, made.held_out)
    assert report.figures["student_against_teacher"]["views"] == len(made.held_out)
    assert "depth" in report.figures["student_against_teacher"]


@pytest.mark.long
def test_every_other_field_teaches_and_learns_there(
    other: Scene, pretended_gpu: torch.device, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(convert, "occupied_cells", lambda *_: 1)  # fog has no surfaces
    assert replayed(converted(other, GRID, 6)) > 0
    assert replayed(converted(other, SPLATS, 4)) > 0
    config, _ = small_configs(other.recipe["representation"]["name"])
    assert replayed(converted(other, config, 12)) > 0


def test_poses_and_rays_are_exchanged_there(field: Scene, pretended_gpu: torch.device) -> None:
    for active in (Active(poses=True), Active(poses=False, rays=False, points=False)):
        asked = replace(ASKED, views=24, active=active)
        conversion = prepare_conversion(field, GRID, Converting(steps=10), FITTING, distilling=asked)
        pool, generator = conversion.training.objective.pool, conversion.training.generator  # type: ignore[attr-defined]
        before = pool.cameras.world_from_camera
        slots = pool.renew(generator)
        assert slots.device == pretended_gpu
        changed = (pool.cameras.world_from_camera != before).flatten(1).any(1).nonzero().squeeze(-1)
        assert set(changed.tolist()) <= set(slots.tolist())


def test_what_was_found_is_noted_without_waiting(field: Scene, pretended_gpu: torch.device) -> None:
    for config in (SPLATS, GRID):
        conversion = converted(field, config, 4)
        objective, generator = conversion.training.objective, conversion.training.generator
        context = Context(True, generator, 1.0)
        look = objective.next(context)
        outcome = objective.losses(look, context)
        looking = objective.stages[look.number][1]  # type: ignore[attr-defined]
        with recording():
            looking.note("rendering", look.look, outcome)


def test_photographs_and_a_learnt_background_help_there(field: Scene, pretended_gpu: torch.device) -> None:
    capture = synthetic.make(views=10, size=(24, 24))
    opaque = replace(capture, images=tuple(image[..., :3].contiguous() for image in capture.images))
    scene = replace(field, background=LearnedBackground())
    scene.recipe["scene"]["background"] = {"kind": "learned"}  # type: ignore[index]
    for shown in (capture, opaque):
        conversion = prepare_conversion(scene, SPLATS, Converting(steps=10), distilling=ASKED, capture=shown)
        assert conversion.photographed == 8
        assert len(list(steps(conversion.training))) == 10
        assert conversion.scene.background.state_dict()["logits"].device == pretended_gpu


def test_a_target_is_judged_there(pretended_gpu: torch.device) -> None:
    conversion = prepare_conversion(ball_scene(), SPLATS, Converting(steps=2), distilling=ASKED)
    assert conversion.training.objective.probe(Context()) > 0


def test_a_field_is_baked_there(pretended_gpu: torch.device) -> None:
    scene = ball_scene().to(pretended_gpu)
    baked = bake(scene, Baking(resolution=32, planes=32, march_steps=64, steps=3, rays=64))
    assert baked.field.blocks.places.device == pretended_gpu
    camera = scene.cameras[[0]]
    for renderer in (baked, coarser(baked)):
        there = replace(scene, renderer=renderer).render(camera).color
        assert there.device == pretended_gpu
        here = replace(scene, renderer=renderer.to("cpu")).render(camera).color
        assert torch.allclose(there.cpu(), here, atol=1e-5)
