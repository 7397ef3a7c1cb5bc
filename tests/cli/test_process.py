"""``scenekit process``, and ``scenekit train`` on photographs that have no poses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from scenekit.cli import main
from tests.data.textured import COUNT, write_photographs

QUICK = ("--features", "1500", "--tries", "1")


def test_process_prints_one_object_and_info_counts_the_photographs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photographs = write_photographs(tmp_path / "photographs")
    capture = tmp_path / "capture"
    assert main(["process", str(photographs), "-o", str(capture), "--json", *QUICK]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert (figures["images"], figures["registered"]) == (COUNT, COUNT)
    assert main(["info", str(capture), "--json"]) == 0
    described = json.loads(capsys.readouterr().out)
    assert (described["images"], described["registered"]) == (COUNT, COUNT)
    assert main(["process", str(photographs), "-o", str(capture), *QUICK]) == 0
    said = capsys.readouterr()
    assert said.out == ""
    assert f"{COUNT} of {COUNT} photographs placed" in said.err


def test_who_interrupts_is_told_how_to_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("scenekit.cli.process.process", interrupted)
    assert main(["process", str(tmp_path), "-o", str(tmp_path / "capture")]) == 130
    assert "interrupted; the same command goes on where it stopped" in capsys.readouterr().err


def test_training_on_photographs_estimates_poses_first_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    photographs = write_photographs(tmp_path / "photographs")
    monkeypatch.chdir(tmp_path)
    train = ["train", str(photographs), "--steps", "2", "--downscale", "4", "--json"]
    assert main([*train, "-o", "first"]) == 0
    said = capsys.readouterr()
    assert f"{photographs} has no camera poses: estimating them into runs/photographs-capture first" in said.err
    assert json.loads(said.out)["steps"] == 2
    made = (tmp_path / "runs" / "photographs-capture" / "process.json").stat().st_mtime_ns
    assert main([*train, "-o", "second"]) == 0
    assert (tmp_path / "runs" / "photographs-capture" / "process.json").stat().st_mtime_ns == made
    assert not (tmp_path / "runs" / "photographs-capture-2").exists()
    assert main(["evaluate", "second", "--json"]) == 0


@pytest.mark.bad_input
def test_a_capture_that_was_begun_and_not_ended_is_no_folder_of_photographs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    photographs, capture = write_photographs(tmp_path / "photographs"), tmp_path / "capture"
    monkeypatch.setattr("scenekit.recipes.process.search", interrupted)
    assert main(["process", str(photographs), "-o", str(capture), *QUICK]) == 130
    capsys.readouterr()
    assert main(["train", str(capture), "--steps", "2", "-o", str(tmp_path / "run")]) == 2
    error = capsys.readouterr().err
    assert f"found one that was begun and not ended; end it with scenekit process {photographs} -o {capture}" in error
    assert error.count("\n") == 1
    assert not (tmp_path / "run").exists()


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "wanted PHOTOS|VIDEO and -o CAPTURE"),
        (["photographs", "-o", "capture", "--frames", "1"], "--frames from 2"),
        (["photographs", "-o", "capture"], "photographs: wanted a folder of photographs or a video, found nothing"),
        (["photographs", "-o", "capture", "--lens", "bottle"], "bottle"),
    ],
)
def test_wrong_usage_is_one_sentence(
    arguments: list[str],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["process", *arguments]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert not list(tmp_path.iterdir())
