import json
from dataclasses import replace
from pathlib import Path

import pytest

from scenekit.assets.run import read_recipe, write_recipe
from scenekit.cli import convert, main
from scenekit.cli.convert import options_type
from scenekit.cli.options import parse
from scenekit.recipes.configs import to_plain
from scenekit.representations import RBF, REPRESENTATIONS

FIELD = ["--levels", "3", "--log2-table", "10", "--finest", "64", "--networks.width", "16", "--batch-samples", "4096",
         "--marching.steps", "64", "--marching.grid", "16", "--occupancy-cells", "4096"]  # fmt: skip
ASKED = ["--views", "12", "--surface-points", "500", "--max-count", "800", "--json"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "teacher"
    arguments = ["train", "synthetic", "-r", "hash_grid", "--downscale", "4", "--steps", "120", *FIELD]
    assert main([*arguments, "-o", str(folder), "--json"]) == 0
    return folder


def figures(capsys: pytest.CaptureFixture[str]) -> dict:
    return json.loads(capsys.readouterr().out)


def test_convert_reports_what_was_lost_and_its_run_serves_every_other_command(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    student = tmp_path / "splats"
    capsys.readouterr()
    assert main(["convert", str(run), "--to", "gaussians", "-o", str(student), "--steps", "30", *ASKED]) == 0
    found = figures(capsys)
    assert found == json.loads((student / "report.json").read_text()) | {"run": str(student)}
    assert found["teacher"]["representation"] == "hash_grid"
    assert found["student"]["representation"] == "gaussians"
    assert found["training"]["predicted_memory_bytes"] > 2e8
    for side in ("teacher", "student"):
        assert found[side]["parameters"] > 0
        assert found[side]["bytes"] > 0
        assert found[side]["milliseconds_per_frame"] > 0
        assert found[f"{side}_against_photographs"]["views"] == 3
    assert found["psnr_lost"] == pytest.approx(
        found["teacher_against_photographs"]["psnr"] - found["student_against_photographs"]["psnr"]
    )
    assert {"psnr", "ssim", "views"} <= set(found["student_against_teacher"])
    assert set(found["stages"]) == {"surfaces", "preparation", "rendering"}
    page = (student / "report.html").read_text()
    assert page.count("data:image/png;base64,") == 9
    assert "http" not in page.replace("http-equiv", "")

    assert main(["evaluate", str(student), "--json"]) == 0
    assert figures(capsys)["psnr"] == pytest.approx(found["student_against_photographs"]["psnr"], abs=0.01)
    assert main(["info", str(student), "--json"]) == 0
    assert figures(capsys)["representation"] == "gaussians"


def test_a_chain_keeps_its_history_and_needs_no_photographs(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    steps = ["--steps", "10", "--no-photographs"]
    assert main(["convert", str(run), "--to", "gaussians", "-o", str(first), *steps, *ASKED]) == 0
    assert main(["convert", str(first), "--to", "hash_grid", "-o", str(second), *steps, *FIELD, "--json"]) == 0
    last = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert [(step["from"], step["to"]) for step in last["history"]] == [
        ("hash_grid", "gaussians"),
        ("gaussians", "hash_grid"),
    ]
    assert "teacher_against_photographs" not in last
    assert "psnr_lost" not in last
    assert last["student_against_teacher"]["views"] == 3
    assert "hash_grid → gaussians → hash_grid" in (second / "report.html").read_text()


def test_a_finished_conversion_can_go_on(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    student = tmp_path / "splats"
    assert main(["convert", str(run), "--to", "gaussians", "-o", str(student), "--steps", "6", *ASKED]) == 0
    assert main(["convert", "--resume", "-o", str(student), "--steps", "9", "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["training"]["steps_this_time"] == 3


@pytest.mark.parametrize("name", sorted(REPRESENTATIONS))
def test_no_options_of_a_student_collide_with_those_of_the_conversion(name: str) -> None:
    options = parse(options_type(name), "convert", ["a", "--density-floor", "-100", "--active.no-poses"])
    assert options.distilling.density_floor == -100
    assert not options.distilling.active.poses


def test_a_student_starts_as_near_to_its_teacher_as_their_types_allow(run: Path) -> None:
    recipe = read_recipe(run)
    same = parse(options_type("hash_grid", recipe), "convert", ["a"])
    assert same.representation.log2_table == 10
    assert same.family.batch_samples == 4096
    other = parse(options_type("dense_grid", recipe), "convert", ["a", "--marching.steps", "32"])
    assert other.family.batch_samples == 4096
    assert other.family.marching.steps == 32
    assert parse(options_type("simplex_grid", recipe), "convert", ["a"]).representation.networks.width == 16
    # An RBF field has networks of its own kind.
    assert parse(options_type("rbf", recipe), "convert", ["a"]).representation.networks.density_layers == 0


def test_a_student_of_functions_keeps_the_layers_that_its_own_encoding_needs(run: Path) -> None:
    chosen = replace(RBF().networks, harmonics_degree=2)
    recipe = read_recipe(run) | {"representation": {"name": "rbf", "config": to_plain(RBF(networks=chosen))}}
    for name in ("triplane", "hash_grid", "mlp"):
        student = parse(options_type(name, recipe), "convert", ["a"]).representation
        assert student.networks == replace(chosen, density_layers=1)


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "--to: wanted"),
        (["--to", "voxels", "run"], "--to: wanted"),
        (["--to", "gaussians"], "wanted a run, found none"),
        (["no/such/run", "--to", "gaussians"], "wanted a run folder"),
        (["--resume"], "wanted the conversion to continue"),
        (
            ["--resume", "-o", "RUN"],
            "wanted a conversion to continue, found a training; continue it with scenekit train",
        ),
        (["RUN", "--to", "gaussians", "--steps", "-1"], "wanted positive numbers"),
        (["RUN", "--to", "gaussians", "--max-count", "4"], "--to gaussians: wanted at least"),
    ],
)
def test_wrong_usage_is_one_sentence_and_nothing_is_left(
    arguments: list[str],
    words: str,
    run: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["convert", *(str(run) if word == "RUN" else word for word in arguments)]) == 2
    said = capsys.readouterr().err
    assert words in said
    assert len(said.strip().splitlines()) == 1
    assert not list(tmp_path.rglob("*"))


@pytest.fixture
def begun(run: Path, tmp_path: Path) -> Path:
    """A run whose recipe says that it is converted; nothing was learnt yet."""
    recipe = read_recipe(run)
    recipe["conversion"] = {"teacher": str(run), "limits": {}, "distilling": {}}
    write_recipe(tmp_path / "begun", recipe)
    return tmp_path / "begun"


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("damage", "arguments", "words"),
    [
        ({}, ["--to", "mlp"], "--to: wanted hash_grid, which"),
        ({"conversion": 3}, [], "wanted a table [conversion], found none"),
        (
            {"conversion": {"limits": {}, "distilling": {}}},
            [],
            "conversion: wanted the folder of its teacher, found none",
        ),
        ({"conversion": {"teacher": "", "limits": 3}}, [], "wanted a table [limits], found none"),
        ({"representation": 3}, [], "wanted a table [representation], found none"),
        ({"capture": 3}, [], "wanted a table [capture], found none"),
    ],
)
def test_a_conversion_that_cannot_go_on_says_why(
    damage: dict, arguments: list[str], words: str, begun: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_recipe(begun, read_recipe(begun) | damage)
    assert main(["convert", "--resume", "-o", str(begun), *arguments]) == 2
    said = capsys.readouterr().err
    assert words in said
    assert len(said.strip().splitlines()) == 1


@pytest.mark.bad_input
def test_a_fitted_signal_is_told_what_makes_another(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    signal = tmp_path / "signal"
    write_recipe(signal, {"signal": {}, "representation": {"name": "hash_grid"}})
    assert main(["convert", str(signal), "--to", "mlp"]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"{signal / 'recipe.toml'}: wanted a run that was trained on photographs")
    assert main(["convert", "--resume", "-o", str(signal)]) == 2
    assert "found a fitted signal; continue it with scenekit fit --resume" in capsys.readouterr().err


@pytest.mark.bad_input
def test_what_will_not_fit_is_refused_before_anything_is_written(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(convert, "memory_in_reach", lambda: 2**28)
    assert main(["convert", str(run), "--to", "gaussians", "-o", str(tmp_path / "run"), "--steps", "1", *ASKED]) == 2
    assert "wanted a run within 0.2 GiB" in capsys.readouterr().err
    assert not (tmp_path / "run" / "recipe.toml").exists()
