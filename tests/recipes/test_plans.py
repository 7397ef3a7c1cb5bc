"""What ``info --plan`` says: every command that takes a thing, from the thing's own sizes."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from scenekit.assets.edits import VERBS
from scenekit.assets.exporters import EXPORTERS
from scenekit.assets.splats.files import write_splats
from scenekit.assets.verify import MOST_VIEWS
from scenekit.cli import main
from scenekit.core.cameras import Cameras
from scenekit.core.checks import BadInput
from scenekit.data import synthetic
from scenekit.recipes import export_plans, plans
from scenekit.recipes.export_plans import LOOKED_AT, PLANES, POINT_KEPT, VERTEX, baked_parts, surfaces
from scenekit.recipes.imported import SIZE as SHOWN_SIZE
from scenekit.recipes.memory import PROCESS
from scenekit.recipes.plans import ALLOWED, EDITED, WRITTEN, plans_for
from scenekit.renderers.volume import VolumeRenderer
from scenekit.representations import REPRESENTATIONS
from tests.conformance.small import small_session
from tests.data.captures import SIZE, sample, write_transforms
from tests.representations.gaussian_clouds import sample_cloud

LOADING = {"export mesh", "export .usdc", "export .usda", "export .usdz", "view"}  # libraries of an extra, or a server


def file_of(count: int, folder: Path) -> Path:
    file = folder / f"{count}.ply"
    write_splats(file, sample_cloud(count, 3))
    return file


def test_gaussians_are_counted_as_often_as_a_command_holds_them(tmp_path: Path) -> None:
    small, large = (plans_for(str(file_of(count, tmp_path))) for count in (1000, 3000))
    assert small.keys() == large.keys() >= {"info", "import", "render", "view", "export mesh", "export points"}
    for name, plan in large.items():
        if name == "export streamed":
            continue
        assert plan.parts["the scene"] == pytest.approx(3 * small[name].parts["the scene"])
        assert (plan.parts["the process"] > PROCESS) == (name in LOADING)
    assert large["export .spz"].parts["the scene"] == pytest.approx(7.9 * 3000 * 59 * 4)


def test_every_format_of_splats_and_the_page_is_planned() -> None:
    assert EXPORTERS.keys() - {"/"} == WRITTEN.keys()
    assert {kind for kind, exporter in EXPORTERS.items() if exporter.coarser} == ALLOWED.keys()
    assert VERBS.keys() == EDITED.keys()


def test_files_as_small_as_a_loss_allows_are_planned_with_the_pictures_that_judge_them(tmp_path: Path) -> None:
    planned = plans_for(str(file_of(1000, tmp_path)))
    width, height = SHOWN_SIZE
    kept = MOST_VIEWS * plans.COLOR
    for kind, copies in ALLOWED.items():
        parts = planned[f"export --allow-loss {kind}"].parts
        assert parts["the scene"] == pytest.approx(copies * 1000 * 59 * 4)
        assert parts["pictures"] == 4 * (plans.SEEN + plans.COMPARED + kept) * width * height


def test_a_view_is_planned_with_the_window_that_it_fills_whatever_the_photographs(tmp_path: Path) -> None:
    few, many = (plans_for(str(file_of(count, tmp_path)))["view"].parts for count in (10, 1000))
    assert few["pictures"] == many["pictures"] == 4 * plans.SEEN * 1.5 * 1280 * 720
    assert few["the process"] > PROCESS


def test_a_file_that_is_read_back_is_planned_with_the_pictures_that_judge_it(tmp_path: Path) -> None:
    parts = plans_for(str(file_of(1000, tmp_path)))["export --verify"].parts
    width, height = SHOWN_SIZE
    assert parts["the scene"] == pytest.approx(plans.VERIFIED * 1000 * 59 * 4)
    assert parts["pictures"] == 4 * (plans.SEEN + plans.COMPARED + MOST_VIEWS * plans.COLOR) * width * height


def test_edits_from_ply_to_ply_take_the_same_whatever_the_scene(tmp_path: Path) -> None:
    small, large = (plans_for(str(file_of(count, tmp_path)))["export streamed"] for count in (100, 3000))
    assert small.total == large.total
    other = tmp_path / "a.splat"
    write_splats(other, sample_cloud(100, 0))
    assert "export streamed" not in plans_for(str(other))


def test_a_capture_is_planned_for_every_representation(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = write_transforms(tmp_path / "capture", sample())
    assert main(["info", str(root), "--plan", "--json"]) == 0
    planned = json.loads(capsys.readouterr().out)
    assert planned.keys() == {f"train -r {name}" for name in REPRESENTATIONS}
    assert min(planned.values()) > PROCESS


def test_the_demo_is_planned_with_its_capture(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scenekit.data.SYNTHETIC_SIDE", 32)
    assert main(["info", "synthetic", "--plan", "--json"]) == 0
    planned = json.loads(capsys.readouterr().out)
    assert planned.keys() == {"demo"} | {f"train -r {name}" for name in REPRESENTATIONS}
    assert PROCESS < planned["demo"] < planned["train -r hash_grid"]  # whose table and batch are larger


def test_a_run_is_planned_with_its_photographs_as_long_as_they_are_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root, run = write_transforms(tmp_path / "capture", sample()), tmp_path / "run"
    small = [
        "--log2-table",
        "10",
        "--batch-samples",
        "4096",
        "--steps",
        "1",
        "--marching.grid",
        "16",
        "--marching.steps",
        "32",
    ]
    assert main(["train", str(root), "-r", "hash_grid", *small, "-o", str(run), "--json"]) == 0
    planned = plans_for(str(run))
    conversions = {f"convert --to {name}" for name in REPRESENTATIONS}
    scene = {"info", "render", "view", "export .html", "export mesh", "export points"} | conversions
    assert planned.keys() == {"evaluate"} | scene
    assert planned["evaluate"].parts["photographs"] == len(sample()) * SIZE[0] * SIZE[1] * 4
    assert planned["evaluate"].parts["pictures"] == 4 * plans.SEEN * SIZE[0] * SIZE[1]
    root.rename(tmp_path / "elsewhere")
    assert plans_for(str(run)).keys() == scene
    capsys.readouterr()
    assert main(["info", str(run), "--plan"]) == 0
    assert "the process 276" in capsys.readouterr().out


@pytest.mark.bad_input
def test_a_fitted_signal_is_not_planned(tmp_path: Path) -> None:
    from PIL import Image

    picture, run = tmp_path / "picture.png", tmp_path / "run"
    Image.fromarray(torch.zeros(8, 8, 3, dtype=torch.uint8).numpy()).save(picture)
    assert (
        main(
            ["fit", str(picture), "--log2-table", "8", "--batch-points", "64", "--steps", "1", "-o", str(run), "--json"]
        )
        == 0
    )
    with pytest.raises(BadInput, match="found a fitted signal"):
        plans_for(str(run))


def test_signals_and_photographs_are_planned(tmp_path: Path) -> None:
    from PIL import Image

    photographs = tmp_path / "photographs"
    photographs.mkdir()
    for index in range(2):
        Image.new("RGB", (80, 60)).save(photographs / f"{index}.jpg")
    small, large = tmp_path / "small.png", tmp_path / "large.png"
    Image.new("RGB", (100, 100)).save(small)
    Image.new("RGB", (6000, 4000)).save(large)
    assert plans_for(str(photographs)).keys() == {"process"}
    planned = [plans_for(str(file))["fit"] for file in (small, large)]
    assert "parameters" in planned[0].parts
    assert planned[1].parts["the signal"] == 3 * 6000 * 4000
    assert planned[1].total > planned[0].total + 3 * 6000 * 4000


def test_a_page_and_a_mesh_are_planned_by_what_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    scene = small_session("hash_grid", synthetic.make(4, (16, 16)), 1).scene
    renderer = scene.renderer
    assert isinstance(renderer, VolumeRenderer)
    renderer.occupancy.occupied.fill_(False)
    assert baked_parts(scene).keys() == {"the process"}
    pixels = sum(width * height for width, height in scene.cameras.sizes)
    assert surfaces(scene)["export points"]["pictures"] == LOOKED_AT * pixels
    blocks = SimpleNamespace(places=torch.zeros(1000, 3))
    monkeypatch.setattr(export_plans, "divided", lambda *_: (None, blocks, None, None))
    assert baked_parts(scene)["the grid"] == PLANES + 1000 * VERTEX
    monkeypatch.setattr(renderer, "render", opaque)
    assert surfaces(scene)["export points"]["pictures"] == (LOOKED_AT + POINT_KEPT) * pixels


def opaque(cameras: Cameras) -> SimpleNamespace:
    """As far as a plan asks: every pixel is solid."""
    return SimpleNamespace(opacity=torch.ones(len(cameras), 4, 4))
