"""The nightly fuzzing goes on where it was, whatever became of its processes, and says what it leaves out."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from scenekit.assets.splats import CODECS
from tests.fuzz import tally
from tests.fuzz.captures import Target
from tests.fuzz.tally import Tally
from tests.nightly import fuzz as nightly
from tests.nightly.fuzz import Blind, fuzz, installed, side_by_side

LATER = 1e9  # seconds


@pytest.fixture(autouse=True)
def published(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, dict]]:
    rows: dict[str, dict] = {}
    monkeypatch.setattr(tally, "keep", lambda name, row, figures: rows.update({row: figures}))
    monkeypatch.setattr(nightly, "BATCH", 20)
    return rows


def until() -> float:
    return time.monotonic() + LATER


def counted(output: Path, *names: str) -> list[tuple[int, int, dict[str, int]]]:
    tallies = [Tally.of(name, output) for name in names]
    return [(one.cases, one.read, dict(one.places)) for one in tallies]


def test_readers_are_tried_alike_by_any_number_of_processes_and_in_pieces(
    tmp_path: Path, published: dict[str, dict]
) -> None:
    names = ["points", "volume_npy"]
    assert fuzz(names, 100, until(), 1, tmp_path / "alone") == 0
    assert {name: published[name]["cases"] for name in names} == dict.fromkeys(names, 100)
    published.clear()
    assert fuzz(names, 100, 0.0, 3, tmp_path / "many") == 0  # no time, no case
    assert not published
    assert fuzz(names, 60, until(), 3, tmp_path / "many") == 0
    assert fuzz(names, 100, until(), 3, tmp_path / "many") == 0
    assert counted(tmp_path / "many", *names) == counted(tmp_path / "alone", *names)
    assert not list((tmp_path / "many").rglob(".*"))


@pytest.mark.parametrize("fault", [ValueError("never seen"), SystemExit(3)])
def test_faults_and_aborts_are_counted_and_their_files_kept(
    fault: BaseException, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(target: Target, file: Path, data: bytes) -> bool:
        raise fault

    monkeypatch.setattr(Target, "survives", broken)
    assert fuzz(["points"], 3, until(), 2, tmp_path) == 1
    ((cases, read, places),) = counted(tmp_path, "points")
    assert (cases, read) == (3, 0)
    kept = list((tmp_path / "points").iterdir())
    if isinstance(fault, ValueError):
        assert sum(places.values()) == 3
    else:
        assert "ended with 1" in next(iter(places))
        assert "SystemExit: 3" in (tmp_path / "points" / "said-0").read_text()
    chance = random.Random(1)
    tried = {target.case(chance)[1] for target in [Target("points", tmp_path / "again")] for _ in range(3)}
    assert tried & {file.read_bytes() for file in kept}


def test_a_case_without_an_end_is_a_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Target, "survives", lambda *_: time.sleep(60))
    monkeypatch.setattr(nightly, "PATIENCE", 1)
    assert fuzz(["points"], 3, until(), 1, tmp_path) == 1
    ((_, _, places),) = counted(tmp_path, "points")
    assert f"ended with {-signal.SIGALRM}" in next(iter(places))


def test_batches_that_end_early_wait_for_the_ones_before(tmp_path: Path) -> None:
    reader = Blind("points", 40, tmp_path, _folder(tmp_path / "work"))
    processes = [reader.begin(until()) for _ in range(3)]
    assert processes[2] is None
    first, second = processes[0], processes[1]
    assert first is not None
    assert second is not None
    for (child, ended), cases in ((second, 0), (first, 40)):
        assert os.waitpid(child, 0)[1] == 0
        ended(0, 0.0)
        assert reader.tally.cases == cases


def test_what_fails_here_leaves_no_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Target, "survives", lambda *_: time.sleep(60))
    reader = Blind("points", 100, tmp_path, _folder(tmp_path / "work"))

    def interrupted(*_: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "wait4", interrupted)
    with pytest.raises(KeyboardInterrupt):
        side_by_side([reader], 2, until())
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, 0)
    assert counted(tmp_path, "points") == [(0, 0, {})]


def test_readers_whose_packages_are_missing_are_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert installed("points")
    assert not capsys.readouterr().out
    monkeypatch.setattr(nightly, "find_spec", lambda package: None)
    assert installed("points")
    assert not any(map(installed, ("surface_stl", "colmap", *CODECS)))
    assert "surface_stl: skipped, not installed: trimesh, open3d" in capsys.readouterr().out


def test_a_splat_format_is_led_by_what_it_learns(tmp_path: Path, published: dict[str, dict]) -> None:
    pytest.importorskip("atheris", reason="an extra is not installed")
    assert fuzz(["splat"], 500, until(), 2, tmp_path) == 0
    assert published["splat"]["cases"] == 500
    assert list((tmp_path / "splat" / "corpus").iterdir())


def _folder(path: Path) -> Path:
    path.mkdir()
    return path
