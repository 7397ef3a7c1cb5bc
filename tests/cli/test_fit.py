import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import scenekit as sk
from scenekit.cli import main
from scenekit.data.signals.radiance import radiance_size, write_radiance
from scenekit.recipes.fit import ENCODERS

SMALL = ["--batch-points", "2048", "--network.width", "16"]


def picture(path: Path, width: int = 40, height: int = 20) -> Path:
    row = np.linspace(0, 255, width).astype(np.uint8)
    pixels = np.stack([np.tile(row, (height, 1))] * 3, -1)
    Image.fromarray(pixels).save(path)
    return path


def figures(capsys: pytest.CaptureFixture[str]) -> dict:
    return json.loads(capsys.readouterr().out)


def test_fit_evaluate_info_and_render_work_on_an_image(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "run"
    file = picture(tmp_path / "a.png")
    assert main(["fit", str(file), "-o", str(run), "--steps", "150", "--json", *SMALL]) == 0
    fitted = figures(capsys)
    assert fitted["signal"] == "image"
    assert fitted["representation"] == "hash_grid"
    assert fitted["steps"] == 150

    assert main(["evaluate", str(run), "--json"]) == 0
    assert figures(capsys)["psnr"] > 25
    assert main(["info", str(run), "--json"]) == 0
    facts = figures(capsys)
    assert facts["size"] == [40, 20]
    assert facts["parameters"] > 0

    out = tmp_path / "out.png"
    assert main(["render", str(run), "-o", str(out)]) == 0
    found, wanted = (np.asarray(Image.open(path)).astype(float) for path in (out, file))
    assert found.shape == wanted.shape
    assert np.abs(found - wanted).mean() < 10
    assert main(["render", str(run), "-o", str(out), "--size", "8x4"]) == 0
    assert Image.open(out).size == (8, 4)


@pytest.mark.parametrize("name", ENCODERS)
def test_every_representation_that_fits_is_one_flag_away(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    file, kind = str(picture(tmp_path / "a.png")), ["--panorama"] if name == "sphere" else []
    assert main(["fit", file, *kind, "-r", name, "-o", str(run), "--steps", "1", "--json", *SMALL]) == 0
    assert figures(capsys)["representation"] == name


def test_a_panorama_is_fitted_by_a_sphere_and_comes_back_as_linear_light(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import torch

    file, run, out = tmp_path / "sky.hdr", tmp_path / "run", tmp_path / "out.hdr"
    file.write_bytes(write_radiance(torch.full((8, 16, 3), 3.0)))
    assert main(["fit", str(file), "-o", str(run), "--steps", "20", "--json", "--batch-points", "512"]) == 0
    assert figures(capsys)["representation"] == "sphere"
    assert main(["render", str(run), "-o", str(out), "--size", "12x6"]) == 0
    assert radiance_size(out) == (12, 6)
    assert main(["render", str(run), "-o", str(tmp_path / "films"), "--frames", "2", "--size", "8x8"]) == 0
    assert len(list((tmp_path / "films").glob("*.png"))) == 2


def test_a_volume_is_rendered_from_its_own_cameras(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run, out = tmp_path / "run", tmp_path / "out.png"
    arguments = ["fit", "synthetic-volume", "-o", str(run), "--steps", "60", "--json", "--log2-table", "12", *SMALL]
    assert main(arguments) == 0
    assert figures(capsys)["signal"] == "volume"
    assert main(["render", str(run), "-o", str(out), "--size", "32x24"]) == 0
    assert np.asarray(Image.open(out)).std() > 5


def test_a_fit_is_continued_beyond_its_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "run"
    assert main(["fit", str(picture(tmp_path / "a.png")), "-o", str(run), "--steps", "10", "--json", *SMALL]) == 0
    capsys.readouterr()
    assert main(["fit", "--resume", "-o", str(run), "--steps", "25", "--json"]) == 0
    assert figures(capsys)["steps_this_time"] == 15


def test_python_mirrors_the_command(tmp_path: Path) -> None:
    reported = []
    scene = sk.fit(picture(tmp_path / "a.png"), sk.HashGrid(levels=2, log2_table=8), steps=3, report=reported.append)
    assert len(reported) == 3
    assert scene.render(scene.cameras[0].resized([(8, 6)])).color.shape == (1, 6, 8, 3)
    assert sk.open_signal(tmp_path / "a.png").facts.size == (40, 20)


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["fit"], "wanted a file, found none"),
        (["fit", "no.png"], "wanted a file to fit, found none"),
        (["fit", "a.png", "-r", "voxels"], "--representation: wanted hash_grid"),
        (["fit", "a.png", "-r", "gaussians"], "--representation: wanted hash_grid"),
        (["fit", "a.png", "-r", "sphere", "--steps", "1"], "wanted a panorama, found a signal of kind image"),
        (["fit", "a.png", "--panorama", "--steps", "1"], "twice as wide as high"),
        (["fit", "a.png", "--steps", "0"], "wanted positive numbers"),
        (["fit", "a.png", "--steps", "1", "--batch-points", "0"], "--batch-points"),
        (["fit", "a.png", "--steps", "1", "--device", "tpu"], "--device: wanted auto, cpu, cuda"),
        (["fit", "a.png", "--stepz", "1"], "Unrecognized options: --stepz"),
        (["fit", "--resume"], "--resume: wanted the run to continue"),
        (["fit", "--resume", "-o", "no-run"], "wanted a run folder"),
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
    picture(tmp_path / "a.png", 30, 20)
    assert main(arguments) == 2
    said = capsys.readouterr()
    assert words in said.err
    assert len(said.err.strip().splitlines()) == 1
    assert not (tmp_path / "runs").exists()


@pytest.mark.bad_input
def test_what_a_fitted_run_cannot_do_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run, file = tmp_path / "run", picture(tmp_path / "a.png")
    assert main(["fit", str(file), "-o", str(run), "--steps", "2", "--json", *SMALL]) == 0
    for arguments, words in (
        (["render", str(run), "-o", str(tmp_path / "out.hdr")], "its values are sRGB"),
        (["evaluate", str(run), "--capture", str(picture(tmp_path / "b.png", 9, 9))], "wanted 3 channels of size"),
        (["fit", str(file), "-o", str(run)], "wanted a new folder"),
        (["convert", str(run), "--to", "gaussians"], "found a fitted signal; fit another one"),
        (["export", str(run), str(tmp_path / "out.html")], "found a fitted signal; look at it"),
    ):
        assert main(arguments) == 2
        assert words in capsys.readouterr().err
    file.unlink()
    assert main(["evaluate", str(run)]) == 2
    assert "wanted a file to fit, found none" in capsys.readouterr().err
