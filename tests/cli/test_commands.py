import json
from pathlib import Path

import pytest

from scenekit.cli import main

FAST = ["--log2-table", "12", "--levels", "4", "--finest", "64", "--networks.width", "16", "--batch-samples", "8192",
        "--marching.steps", "64", "--marching.grid", "16", "--occupancy-cells", "4096", "--downscale", "4"]  # fmt: skip


def figures(capsys: pytest.CaptureFixture[str]) -> dict:
    return json.loads(capsys.readouterr().out)


def train(run: Path, *arguments: str) -> int:
    return main(["train", "synthetic", "-r", "hash_grid", "-o", str(run), "--json", *FAST, *arguments])


def test_train_evaluate_info_and_render_work_on_one_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "run"
    assert train(run, "--steps", "30") == 0
    trained = figures(capsys)
    assert trained["steps"] == 30
    assert trained["peak_memory_bytes"] > 1e8
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [0, 10, 20]

    assert main(["evaluate", str(run), "--json", "--pictures"]) == 0
    result = figures(capsys)
    assert len(result["images"]) == 3
    assert result["psnr"] == pytest.approx(sum(image["psnr"] for image in result["images"]) / 3)
    assert "32x32" in result["scope"]
    assert len(list((run / "renders").glob("*.png"))) == 3
    assert main(["evaluate", str(run), "--pictures"]) == 0
    assert str(run / "renders") in capsys.readouterr().err

    assert main(["info", str(run), "--json"]) == 0
    facts = figures(capsys)
    assert facts["representation"] == "hash_grid"
    assert facts["parameters"] > 0

    out = tmp_path / "frames"
    assert main(["render", str(run), "--path", "orbit", "--frames", "2", "--size", "24x16", "-o", str(out)]) == 0
    assert len(list(out.glob("*.png"))) == 2


def test_a_resumed_run_ends_with_the_same_bits(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from safetensors.torch import load_file

    from scenekit.recipes import resume
    from scenekit.training.steps import steps

    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert train(whole, "--steps", "24") == 0
    assert train(parts, "--steps", "24") == 0  # same recipe; its checkpoint is then set back to step 12
    from scenekit.assets.run import checkpoints, write_checkpoint

    session = resume(parts)
    assert session.training.index == 24
    fresh = resume_from_start(parts)
    for step in steps(fresh.training):
        if step.index == 11:
            break
    for folder in checkpoints(parts):
        for file in folder.iterdir():
            file.unlink()
        folder.rmdir()
    write_checkpoint(parts, fresh.training.index, fresh.training.state_dict())
    capsys.readouterr()
    assert main(["train", "--resume", "-o", str(parts), "--json"]) == 0
    assert figures(capsys)["steps_this_time"] == 12
    one, other = load_file(whole / "scene.safetensors"), load_file(parts / "scene.safetensors")
    for name, tensor in one.items():
        assert (tensor == other[name]).all(), name
    assert main(["train", "--resume", "-o", str(parts)]) == 0
    assert "nothing was left to do" in capsys.readouterr().err


def resume_from_start(run: Path):
    """The session that a run began with."""
    from scenekit.assets.run import read_recipe
    from scenekit.data import open_capture
    from scenekit.recipes import Fitting, prepare
    from scenekit.recipes.configs import from_plain
    from scenekit.recipes.load import configs_of

    recipe = read_recipe(run)
    representation, family = configs_of(recipe, "recipe")
    capture = open_capture("synthetic", downscale=4.0)
    return prepare(capture, representation, from_plain(Fitting, recipe["training"], "recipe"), family)


def test_doctor_names_what_serves_every_operator(capsys: pytest.CaptureFixture[str]) -> None:
    from scenekit.kernels import OPS

    assert main(["doctor", "--json"]) == 0
    facts = figures(capsys)
    assert set(facts["operators"]) == set(OPS)


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    for command in ("demo", "train", "evaluate", "render", "view", "info", "doctor"):
        assert command in text


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["fly"], "wanted a command among"),
        ([], ""),
        (["train"], "wanted a capture, found none"),
        (["train", "synthetic", "-r", "voxels"], "--representation: wanted hash_grid, dense_grid, gaussians"),
        (["train", "synthetic", "-r"], "-r: wanted a value, found none"),
        (["train", "synthetic", "--stepz", "3"], "Unrecognized options: --stepz, 3; did you mean --"),
        (["train", "synthetic", "--steps", "x"], "--steps: wanted INT, found x; --help"),
        (["train", "synthetic", "--processes", "two"], "--processes: wanted INT, found two; --help"),
        (["train", "synthetic", "--downscale", "half"], "--downscale: wanted FLOAT, found half; --help"),
        (["train", "synthetic", "-r", "hashgrid"], "found hashgrid; did you mean hash_grid?"),
        (["train", "synthetic", "-r", "zzz"], "found zzz; choose one"),
        (["train", "synthetic", "--steps", "-4"], "wanted positive numbers"),
        (["train", "synthetic", "--preset", "moon"], "wanted a preset among"),
        (["train", "synthetic", "--background", "beige", "--downscale", "4"], "--background: wanted auto"),
        (["train", "no/such/place"], "no/such/place"),
        (["train", "--resume"], "--resume: wanted the run to continue"),
        (["evaluate", "no/such/run"], "wanted a run folder"),
        (["view"], "scenekit view: wanted a run or a file, found none"),
        (["render", "no/such/run", "-o", "x.avi"], "x.avi"),
        (["info", "no/such/place"], "no/such/place"),
        (["info"], "scenekit info: wanted RUN|FILE|CAPTURE, found none; --help"),
        (["render"], "scenekit render: wanted RUN|FILE and --output, found none; --help"),
        (["export", "no/such/run"], "scenekit export: wanted OUT, found none; --help"),
    ],
)
def test_wrong_usage_is_one_sentence_and_exit_code_2(
    arguments: list[str],
    words: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    said = capsys.readouterr()
    assert words in said.err
    assert "Traceback" not in said.err
    assert len(said.err.strip().splitlines()) <= 1
    assert not list(tmp_path.rglob("*.safetensors"))


@pytest.mark.bad_input
def test_photographs_without_poses_are_told_how_to_get_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from PIL import Image

    Image.new("RGB", (8, 8)).save(tmp_path / "one.png")
    assert main(["info", str(tmp_path)]) == 2
    assert "found 1 photographs without; make one of them with: scenekit process" in capsys.readouterr().err


@pytest.mark.bad_input
def test_a_misspelt_command_is_answered_with_the_one_that_was_meant(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["trian"]) == 2
    assert "did you mean train?" in capsys.readouterr().err
