"""Commands with a GPU, a pretended one: what a run was trained on serves every other command."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path

import pytest
import torch

from scenekit.cli import main
from scenekit.training import held_out
from tests.data.captures import sample, write_blender

FIELD = ["--levels", "3", "--log2-table", "10", "--finest", "64", "--networks.width", "16", "--batch-samples", "2048",
         "--marching.steps", "64", "--marching.grid", "16", "--occupancy-cells", "2048"]  # fmt: skip
SPLATS = ["--max-count", "600", "--random-count", "300"]
BAKED = ["--bake.resolution", "32", "--bake.planes", "32", "--bake.march-steps", "64", "--bake.steps", "2",
         "--bake.rays", "64", "--bake.thin", "0"]  # fmt: skip


def trained(place: Path, name: str, *flags: str) -> Path:
    capture, run = write_blender(place / "capture", sample()), place / "run"
    options = FIELD if name == "hash_grid" else SPLATS
    arguments = ["train", str(capture), "-r", name, "--steps", "30", "-o", str(run), "--json"]
    assert main([*arguments, *options, *flags]) == 0
    return run


def told(capsys: pytest.CaptureFixture[str]) -> dict:
    return json.loads(capsys.readouterr().out.splitlines()[-1])


@pytest.mark.long
@pytest.mark.parametrize("name", ["hash_grid", "gaussians"])
def test_a_run_is_judged_and_filmed_where_it_was_trained(
    name: str,
    pretended_gpu: torch.device,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(held_out, "POSE_STEPS", 3)
    monkeypatch.setattr(held_out, "PIXELS", 128)
    run = trained(tmp_path, name, "--refine-poses", "--appearance", "exposure")
    figures = told(capsys)
    assert figures["device"] == "a pretended GPU"
    assert main(["evaluate", str(run), "--fit-poses", "--fit-exposure", "--pictures", "--json"]) == 0
    assert told(capsys)["scope"].count("a pretended GPU") == 1
    assert main(["render", str(run), "-o", str(tmp_path / "film"), "--frames", "2", "--size", "20x12"]) == 0
    assert len(list((tmp_path / "film").glob("*.png"))) == 2
    assert main(["render", str(run), "-o", str(tmp_path / "one.png"), "--size", "20x12"]) == 0
    assert main(["info", str(run), "--json"]) == 0
    assert main(["train", "--resume", "-r", name, "-o", str(run), "--steps", "32", "--json"]) == 0
    assert told(capsys)["steps_this_time"] == 2
    assert main(["train", "--resume", "-r", name, "-o", str(run), "--steps", "33", "--device", "cpu", "--json"]) == 0
    assert told(capsys)["device"] == "cpu"


def test_splats_leave_as_files_and_pages(
    pretended_gpu: torch.device, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = trained(tmp_path, "gaussians")
    for file in ("a.ply", "a.spz"):
        assert main(["export", str(run), str(tmp_path / file), "--verify", "--json"]) == 0
        assert told(capsys)["psnr_lost"] < 3
    edits = ["--prune", "opacity:0.01", "--budget", "200"]
    assert main(["export", str(run), *edits, str(tmp_path / "page"), "--json"]) == 0
    assert (tmp_path / "page" / "scene.json").exists()
    assert main(["export", str(tmp_path / "a.ply"), str(tmp_path / "b.spz"), "--verify", "--json"]) == 0


@pytest.mark.long
def test_a_field_leaves_as_a_page_and_becomes_splats(
    pretended_gpu: torch.device, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run, student = trained(tmp_path, "hash_grid"), tmp_path / "student"
    assert main(["export", str(run), str(tmp_path / "page.html"), *BAKED, "--json"]) == 0
    monkeypatch.setattr(
        import_module("scenekit.recipes.convert"), "occupied_cells", lambda *_: 1
    )  # thirty steps show nothing
    limits = ["--steps", "4", "--views", "12", "--surface-points", "200", "--max-count", "300", "--json"]
    capsys.readouterr()
    assert main(["convert", str(run), "--to", "gaussians", "-o", str(student), *limits]) == 0
    figures = told(capsys)
    assert figures["scope"].endswith("a pretended GPU")
    assert figures["student_against_photographs"]["views"] > 0
    resumed = ["convert", "--resume", "-o", str(student), "--steps", "6", "--json"]
    assert main(resumed) == 0
    assert told(capsys)["training"]["device"] == "a pretended GPU"
    assert main([*resumed[:-2], "7", "--device", "cpu", "--json"]) == 0
    assert told(capsys)["training"]["device"] == "cpu"
