from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from scenekit.assets.run import read_checkpoint, write_checkpoint, write_recipe, write_scene
from scenekit.core.checks import BadInput
from scenekit.core.rays import Samples
from scenekit.data import synthetic
from scenekit.distill.pictures import FEWEST
from scenekit.distill.plan import Distilling
from scenekit.recipes import (
    Conversion,
    Converting,
    VolumeFitting,
    convert,
    load,
    prepare_conversion,
    resume,
    resume_conversion,
)
from scenekit.renderers.background import LearnedBackground
from scenekit.renderers.scene import Scene
from scenekit.renderers.volume import Marching
from scenekit.representations import Gaussians, HashGrid, Mlp
from scenekit.representations.networks import Networks
from scenekit.training.objective import psnr_of
from scenekit.training.steps import steps
from tests.conformance.small import small_session
from tests.distill.teachers import RADIUS, ball_scene, grid, ring

TINY = HashGrid(levels=3, log2_table=10, finest=64, networks=Networks(width=16))
FITTING = VolumeFitting(batch_samples=4096, marching=Marching(steps=128, grid=32), occupancy_cells=4096)
ASKED = Distilling(views=16, surface_points=400)
SPLATS = Gaussians(harmonics_degree=0, max_count=500)


def finished(conversion: Conversion) -> Scene:
    for _ in steps(conversion.training):
        pass
    return conversion.scene


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a dozen steps: what it shows does not matter."""
    folder = tmp_path_factory.mktemp("runs") / "teacher"
    session = small_session("dense_grid", synthetic.make(views=12, size=(24, 24)), 60)
    for _ in steps(session.training):
        pass
    write_recipe(folder, session.scene.recipe)
    write_scene(folder, session.scene)
    return folder


@pytest.mark.parametrize("student", ["field", "splats"])
def test_a_conversion_resumed_from_its_files_ends_with_the_same_bits(student: str, run: Path, tmp_path: Path) -> None:
    config, fitting, count, half = (TINY, FITTING, 24, 16) if student == "field" else (SPLATS, None, 60, 40)

    def begun() -> Conversion:
        limits = Converting(steps=count, seed=3)
        return prepare_conversion(load(run), config, limits, fitting, distilling=ASKED, run=str(run))

    whole = begun()
    finished(whole)
    first = begun()
    write_recipe(tmp_path, first.scene.recipe)
    for step in steps(first.training):
        if step.index == half:
            break
    write_checkpoint(tmp_path, first.training.index, first.training.state_dict())
    second = resume_conversion(tmp_path)
    assert second.training.index == half + 1
    finished(second)
    expected = whole.scene.renderer.state_dict()
    for name, tensor in second.scene.renderer.state_dict().items():
        assert torch.equal(tensor, expected[name]), name
    assert second.training.index == count
    assert read_checkpoint(tmp_path)["index"] == half + 1


def test_how_many_pictures_a_limit_of_time_affords_is_told_in_the_recipe() -> None:
    made = prepare_conversion(ball_scene(cameras=ring(80)), SPLATS, Converting(minutes=1e-6))
    again = prepare_conversion(ball_scene(cameras=ring(80)), SPLATS, Converting(steps=1))
    assert made.scene.recipe["conversion"]["distilling"]["views"] == FEWEST
    assert again.scene.recipe["conversion"]["distilling"]["views"] == 80


def test_a_ball_becomes_splats_on_its_surface_and_a_field_again() -> None:
    splats = convert(ball_scene(), SPLATS, steps=60)
    means = splats.renderer.state_dict()["primitives.means"]
    assert float((means.norm(dim=-1) - RADIUS).abs().median()) < 0.05
    back = finished(prepare_conversion(splats, grid(24), Converting(steps=150), FITTING, distilling=ASKED))
    cameras = ring(6)
    wanted, found = ball_scene().render(cameras), back.render(cameras)
    assert float((wanted.color - found.color).square().mean()) < 0.4 * float(wanted.color.square().mean())
    history = back.recipe["conversion"]["history"]
    assert [step["to"] for step in history] == ["gaussians", "dense_grid"]
    assert back.recipe["conversion"]["history"][0]["from"] == "dense_grid"


@pytest.mark.parametrize("kind", ["hash_grid", "mlp"])
def test_splats_teach_a_field_by_their_pictures(kind: str) -> None:
    """It ended below 16 dB after a first stage at points, whose losses left steps too short for those that followed."""
    config = TINY if kind == "hash_grid" else Mlp(width=32, layers=2, skip=0, finest=16, learning_rate=1e-2)
    splats = convert(ball_scene(), SPLATS, steps=100)
    made = finished(prepare_conversion(splats, config, Converting(steps=120), FITTING, distilling=ASKED))
    cameras = ring(7)
    wrong = splats.render(cameras).color - made.render(cameras).color
    assert psnr_of(float(wrong.square().mean())) > 18


def erased(scene: Scene) -> Scene:
    """The right half of the scene is emptied, as an editor would; its grid of occupied cells knows nothing of it."""
    field = scene.renderer.field  # type: ignore[attr-defined]
    density = field.density

    def edited(samples: Samples) -> tuple[torch.Tensor, torch.Tensor]:
        found, features = density(samples)
        return found * (samples.positions[:, 0] < 0), features

    field.density = edited
    return scene


def test_an_erased_region_stays_erased_once_the_floor_is_lowered() -> None:
    config = replace(grid(16), initial_density=1.0)
    points = torch.tensor([[0.2, 0.05 * i, 0.05 * j] for i in range(-4, 5) for j in range(-4, 5)])
    samples = Samples(points, torch.tensor([[1.0, 0.0, 0.0]]).expand(81, 3), torch.full((81,), 0.05))
    left = {}
    for floor in (-2.0, -100.0):
        # Only what is matched at points: rendering alone would empty what it sees through.
        asked = replace(ASKED, density_floor=floor, points_until=1.0, features_until=0.0)
        made = prepare_conversion(erased(ball_scene()), config, Converting(steps=60), FITTING, distilling=asked)
        field = finished(made).renderer.field  # type: ignore[attr-defined]
        left[floor] = float(field.density(samples)[0].max())
    assert left[-100.0] < 0.01
    assert left[-2.0] > 3 * left[-100.0]
    matter = Samples(points - torch.tensor([0.4, 0.0, 0.0]), samples.directions, samples.deltas)
    assert float(field.density(matter)[0].median()) > 1.0


def test_photographs_do_not_help_where_something_was_erased(run: Path) -> None:
    capture = synthetic.make(views=12, size=(24, 24))
    helped = prepare_conversion(load(run), SPLATS, Converting(steps=1), distilling=ASKED, capture=capture)
    assert helped.photographed == 10
    lowered = replace(ASKED, density_floor=-100.0)
    alone = prepare_conversion(load(run), SPLATS, Converting(steps=1), distilling=lowered, capture=capture)
    assert alone.photographed == 0
    assert len(helped.held_out) == 2


def test_the_background_is_the_teachers() -> None:
    scene = ball_scene()
    learned = LearnedBackground((0.2, 0.6, 0.4))
    scene = replace(scene, background=learned)
    scene.recipe["scene"]["background"] = {"kind": "learned"}  # type: ignore[index]
    student = convert(scene, SPLATS, steps=1)
    assert student.background is not learned
    assert torch.equal(student.background.state_dict()["logits"], learned.logits)


def test_a_target_is_judged_against_the_teacher() -> None:
    made = prepare_conversion(ball_scene(), SPLATS, Converting(steps=5000, target_psnr=5.0), distilling=ASKED)
    finished(made)
    assert made.training.index == 200


@pytest.mark.bad_input
def test_conversions_and_trainings_are_continued_by_their_own_commands(run: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="wanted a conversion to continue, found a training"):
        resume_conversion(run)
    made = prepare_conversion(load(run), SPLATS, Converting(steps=1), distilling=ASKED, run=str(run))
    write_recipe(tmp_path, made.scene.recipe)
    with pytest.raises(BadInput, match="wanted a training to continue, found a conversion"):
        resume(tmp_path)


@pytest.mark.bad_input
def test_what_cannot_be_converted_is_refused_before_any_step() -> None:
    with pytest.raises(BadInput, match="cameras of its photographs"):
        prepare_conversion(ball_scene(cameras=ring()[[]]), SPLATS)
    with pytest.raises(BadInput, match="something in it"):
        prepare_conversion(ball_scene(density=1e-9), SPLATS)
    with pytest.raises(BadInput, match="--to gaussians: wanted at least"):
        prepare_conversion(ball_scene(), replace(SPLATS, max_count=3))
