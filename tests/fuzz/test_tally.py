"""A million cases are counted over many calls, and what is done is published once."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from tests.fuzz import captures, tally
from tests.fuzz.tally import Tally


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch) -> dict[str, dict]:
    rows: dict[str, dict] = {}
    monkeypatch.setattr(tally, "keep", lambda name, row, figures: rows.update({f"{name}/{row}": figures}))
    return rows


def test_what_was_counted_is_gone_on_from(tmp_path: Path) -> None:
    first = Tally.of("ply", tmp_path)
    first.cases, first.read = 7, 3
    first.places["ValueError in ply.py:1"] += 2
    first.save()
    again = Tally.of("ply", tmp_path)
    assert (again.cases, again.read, again.places) == (7, 3, {"ValueError in ply.py:1": 2})
    assert Tally.of("spz", tmp_path).cases == 0


def test_a_reader_is_published_once_its_cases_are_done(tmp_path: Path, published: dict[str, dict]) -> None:
    assert captures.fuzz("blender", 4, -math.inf, tmp_path) == 0
    assert not published  # no time, no case
    assert captures.fuzz("blender", 4, math.inf, tmp_path) == 0
    assert captures.fuzz("blender", 6, math.inf, tmp_path) == 0
    assert published["fuzz/blender"]["cases"] == 6
    assert published["fuzz/blender"]["faults"] == 0


@pytest.mark.parametrize("fault", [ValueError("never seen"), SystemExit(3)])
def test_faults_and_aborts_are_counted_and_kept(
    fault: BaseException, tmp_path: Path, published: dict[str, dict], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(target: captures.Target, file: Path, data: bytes) -> bool:
        raise fault

    monkeypatch.setattr(captures.Target, "survives", broken)
    assert captures.fuzz("blender", 3, math.inf, tmp_path) == 1
    assert published["fuzz/blender"]["faults"] == 1
    assert (tmp_path / "blender" / "last").read_bytes()
