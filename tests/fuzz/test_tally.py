"""A million cases are counted over many calls, and what is done is published once."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests.fuzz import tally
from tests.fuzz.tally import Tally


def test_what_was_counted_is_gone_on_from(tmp_path: Path) -> None:
    first = Tally.of("ply", tmp_path)
    first.cases, first.read = 7, 3
    first.places["ValueError in ply.py:1"] += 2
    first.save()
    again = Tally.of("ply", tmp_path)
    assert (again.cases, again.read, again.places) == (7, 3, {"ValueError in ply.py:1": 2})
    assert Tally.of("spz", tmp_path).cases == 0


def test_more_is_added_and_published_once_it_is_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows: dict[str, dict] = {}
    monkeypatch.setattr(tally, "keep", lambda name, row, figures: rows.update({f"{name}/{row}": figures}))
    counted = Tally.of("ply", tmp_path)
    counted.add(3, 1.5, Counter({"read": 2, "longest": 4_000, "ValueError in ply.py:1": 1}))
    counted.report(5)
    assert not rows
    counted.add(2, 1.0, Counter({"read": 1, "longest": 2_000}))
    counted.report(5)
    assert {name: rows["fuzz/ply"][name] for name in ("cases", "read", "slowest_ms", "faults")} == {
        "cases": 5, "read": 3, "slowest_ms": 4.0, "faults": 1
    }  # fmt: skip
