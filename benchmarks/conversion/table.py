"""Records as tables in Markdown."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from benchmarks.markdown import table
from scenekit.representations import REPRESENTATIONS

Record = Mapping[str, Any]
ALLOWED = 0.5  # dB that a student may miss the lower of its teacher and itself from photographs by
MARK = "\u2020"  # of what comes from another commit or device than most; more of them for the rarer


def line(record: Record) -> str:
    """One record for who waits."""
    if "refused" in record:
        return f"{record['task']}: refused: {record['refused']}"
    steps = f", {record['steps']} steps in {record['seconds']} s" if "steps" in record else ""
    return f"{record['task']}: {record['psnr']:.2f} dB{steps}; {record['task_seconds']} s in all"


def tables(records: Iterable[Record]) -> str:
    """Everything that was found, capture by capture."""
    found = list(records)
    kinds = [
        (each["capture"], each["taught_seconds"], each["allowed_seconds"]) for each in found if each["taught_seconds"]
    ]
    parts = []
    for capture, taught, allowed in dict.fromkeys(kinds):
        here = [each for each in found if each["capture"] == capture]
        told = _Found(here, taught, allowed)
        parts.append(f"## {capture}: teachers {taught:g} s, students {allowed:g} s")
        parts.append(scope(told.marks))
        parts += told.parts()
    return "\n\n".join(parts)


def scope(marked: Mapping[str, str]) -> str:
    """What the figures hold for; more than one line where they come from several devices or commits."""
    return "  \n".join(f"{mark} {origin}".strip() for origin, mark in marked.items())


def marks(records: Iterable[Record]) -> dict[str, str]:
    """Where figures come from, what most of them do first, and the mark of each."""
    origins = Counter(_origin(each) for each in records).most_common()
    return {origin: MARK * index for index, (origin, _) in enumerate(origins)}


def _origin(record: Record) -> str:
    return f"{record['scope']}; {record['device']}; commit {record['machine']['commit']}"


class _Found:
    """Of one capture's records, conversions of given seconds, and trainings of what takes part in them."""

    def __init__(self, records: Sequence[Record], taught: float, allowed: float) -> None:
        self.made = [each for each in records if (each["taught_seconds"], each["allowed_seconds"]) == (taught, allowed)]
        kinds = {kind for each in self.made for kind in each["kinds"]}
        times = taught, allowed, taught + allowed
        trained = [each for each in records if not each["taught_seconds"] and each["kinds"][0] in kinds]
        self.teachers = _by_kind(trained, "teacher", taught)
        self.alone = _by_kind(trained, "scratch", allowed)
        self.longer = _by_kind(trained, "scratch", allowed + taught)
        self.marks = marks([*self.made, *(each for each in trained if each["allowed_seconds"] in times)])

    def parts(self) -> list[str]:
        """What there is to show."""
        made = self.matrix(), self.short(), self.trained(), self.both_clocks(), self.active(), self.chains()
        return [part for part in made if part]

    def matrix(self) -> str:
        """Rows are teachers."""
        cells = {tuple(each["kinds"]): each for each in self.made if each["work"] == "convert"}
        students = _in_order(kinds[1] for kinds in cells)
        rows = [
            (teacher, *(self._cell(cells.get((teacher, student))) for student in students))
            for teacher in _in_order(kinds[0] for kinds in cells)
        ]
        about = "PSNR of the student (dB lost of the teacher's / above the same time from scratch), seconds in all"
        return f"{about}\n\n" + table(("teacher \\ student", *students), rows) if rows else ""

    def _cell(self, record: Record | None) -> str:
        if record is None:
            return ""
        if "refused" in record:
            return "refused"
        student = record["kinds"][1]
        lost = f"{record['teacher_psnr'] - record['psnr']:+.2f}"
        above = _less(record, self.alone.get(student))
        return f"{record['psnr']:.2f}{self.marks[_origin(record)]} ({lost} / {above}), {record['seconds']:.3g} s"

    def short(self) -> str:
        """Cells that miss the lower of teacher and scratch by more than half a decibel."""
        rows = []
        for each in self.made:
            alone = self.alone.get(each["kinds"][-1])
            if each["work"] != "convert" or "refused" in each or alone is None:
                continue
            both = each["teacher_psnr"], alone["psnr"]
            if each["psnr"] < min(both) - ALLOWED:
                below, added = f"{each['psnr'] - min(both):+.2f} dB", f"{_added(both):.2f} dB"
                rows.append((" -> ".join(each["kinds"]), _psnr(each) + self.marks[_origin(each)], below, added))
        head = (
            f"more than {ALLOWED:g} dB below",
            "student",
            "to the lower of teacher and scratch",
            "both errors added",
        )
        return table(head, rows) if rows else ""

    def trained(self) -> str:
        """Teachers, and the same from scratch in a student's time."""
        rows = [
            (
                kind,
                _psnr(self.teachers.get(kind)),
                _psnr(self.alone.get(kind)),
                _of(kind, self, "frame_ms"),
                _of(kind, self, "parameters"),
            )
            for kind in _in_order([*self.teachers, *self.alone])
        ]
        return table(
            ("from photographs", "as long as teachers", "as long as students", "ms a frame", "parameters"), rows
        )

    def both_clocks(self) -> str:
        """A student whose teacher was there, and one whose teacher had to be trained first."""
        rows = [
            (
                " -> ".join(each["kinds"]),
                _psnr(each) + self.marks[_origin(each)],
                _psnr(self.alone.get(each["kinds"][1])),
                _psnr(self.longer[each["kinds"][1]]),
            )
            for each in self.made
            if each["work"] == "convert" and each["kinds"][1] in self.longer
        ]
        head = ("both clocks", "student", "scratch, the student's time", "scratch, with the teacher's time")
        return table(head, rows) if rows else ""

    def active(self) -> str:
        """With active learning and without."""
        with_it = {tuple(each["kinds"]): each for each in self.made if each["work"] == "convert"}
        rows = [
            (" -> ".join(each["kinds"]), _psnr(with_it.get(tuple(each["kinds"]))), _psnr(each))
            for each in self.made
            if each["work"] == "passive"
        ]
        return table(("active learning", "with", "without"), rows) if rows else ""

    def chains(self) -> str:
        """Link by link."""
        rows = []
        for each in self.made:
            if each["work"] == "chain" and "links" in each:
                rows.append((f"chain from {each['kinds'][0]}", f"{each['teacher_psnr']:.2f} dB", ""))
                rows += [(f"-> {link['kind']}", _psnr(link), f"{link['seconds']:.0f} s") for link in each["links"]]
        return table(("chain", "PSNR", "seconds"), rows) if rows else ""


def _added(values: Iterable[float]) -> float:
    """PSNR of the sum of errors that have nothing to do with each other, each given as PSNR."""
    return -10 * math.log10(sum(10 ** (-value / 10) for value in values))


def _by_kind(records: Sequence[Record], work: str, seconds: float) -> dict[str, Record]:
    return {each["kinds"][0]: each for each in records if each["work"] == work and each["allowed_seconds"] == seconds}


def _in_order(kinds: Iterable[str]) -> list[str]:
    """Each once, as everywhere."""
    found = set(kinds)
    return [kind for kind in REPRESENTATIONS if kind in found]


def _psnr(record: Record | None) -> str:
    if record is None:
        return ""
    return "refused" if "refused" in record else f"{record['psnr']:.2f} dB"


def _less(first: Record | None, second: Record | None) -> str:
    if first is None or second is None or "psnr" not in first or "psnr" not in second:
        return "?"
    return f"{first['psnr'] - second['psnr']:+.2f}"


def _of(kind: str, found: _Found, key: str) -> str:
    record = found.teachers.get(kind) or found.alone.get(kind)
    return "" if record is None or key not in record else f"{record[key]:,}"
