"""Files that may lose something are as small as that allows."""

import os
from pathlib import Path

import pytest

from scenekit.assets.exporters import export
from scenekit.assets.splats.files import read_splats
from scenekit.cli import main
from scenekit.core.checks import BadInput
from scenekit.recipes import load
from tests.assets.splat_scenes import sample_scene

COARSER = [".spz", ".sog", ".sogc"]


@pytest.mark.parametrize("extension", COARSER)
def test_the_more_may_be_lost_the_smaller_the_file_and_no_more_is_lost(extension: str, tmp_path: Path) -> None:
    scene = sample_scene(0)
    facts = [export(scene, tmp_path / f"usual{extension}", verify=True)]
    for allowed in (0.3, 3.0):
        facts.append(export(scene, tmp_path / f"{allowed}{extension}", verify=True, allow_loss=allowed))
        assert facts[-1]["psnr_lost"] <= allowed
    sizes = [found["bytes"] for found in facts]
    assert sizes[0] > sizes[1] > sizes[2]
    # What is allowed is made use of: the steps are few, so not to the last of it.
    assert facts[2]["psnr_lost"] > 1
    assert "bits_coarser" not in facts[0]
    assert max(facts[2]["bits_coarser"].values()) > max(facts[1]["bits_coarser"].values()) > 0


@pytest.mark.parametrize("extension", [".spz", ".sog"])
@pytest.mark.skipif(not os.environ.get("SCENEKIT_DATA"), reason="SCENEKIT_DATA is not set")
def test_a_real_scene_is_an_eighth_for_half_a_decibel(
    extension: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scenekit.recipes.imported.SIZE", (400, 300))
    scene = load(Path(os.environ["SCENEKIT_DATA"]) / "splats" / "playbot_lod4.ply")
    facts = export(scene, tmp_path / f"a{extension}", verify=True, allow_loss=0.5)
    assert facts["psnr_lost"] <= 0.5
    assert facts["times_smaller"] >= 8


@pytest.mark.bad_input
def test_what_no_file_of_the_format_can_keep_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"--allow-loss: wanted no more than 1e-09 dB lost, found .* dB lost by a SPZ"):
        export(sample_scene(), tmp_path / "a.spz", allow_loss=1e-9)
    assert not list(tmp_path.iterdir())


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["b.ply", "--allow-loss", "1"], "--allow-loss: wanted a file with steps (.spz, .sogc, .sog)"),
        (["b.spz", "--allow-loss", "0"], "--allow-loss: wanted a positive number of dB"),
        (["b.ply", "--as", "mesh", "--allow-loss", "1"], "--allow-loss: wanted a file of splats"),
        (["b.ply", "--degree", "0", "--allow-loss", "1"], "--allow-loss: wanted a file with steps"),
    ],
)
def test_files_without_steps_and_losses_that_are_none_are_refused(
    arguments: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    export(sample_scene(), tmp_path / "a.ply")
    target, *rest = arguments
    assert main(["export", str(tmp_path / "a.ply"), str(tmp_path / target), *rest]) == 2
    assert words in capsys.readouterr().err
    assert [file.name for file in tmp_path.iterdir()] == ["a.ply"]
    assert len(read_splats(tmp_path / "a.ply").cloud) == 150
