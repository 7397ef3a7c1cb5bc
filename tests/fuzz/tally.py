"""How far the fuzzing of a reader has come, kept in a file, so that a million cases can be tried an hour at a time."""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from dataclasses import dataclass, field, fields
from pathlib import Path

from benchmarks.record import keep
from scenekit.assets.atomic import replacing

FOLDER = Path(tempfile.gettempdir()) / "scenekit-fuzz"  # of what was counted and found


@dataclass
class Tally:
    """Of one reader.

    Attributes:
        cases: tried so far.
        cpu_seconds: of processor time that took.
        read: cases that still gave a capture or Gaussians.
        longest: seconds of the slowest case.
        places: faults by their place in the code.
    """

    name: str
    file: Path
    cases: int = 0
    cpu_seconds: float = 0.0
    read: int = 0
    longest: float = 0.0
    places: Counter[str] = field(default_factory=Counter)

    @staticmethod
    def of(name: str, folder: Path) -> Tally:
        """As it was left in ``folder``; at zero where nothing was."""
        file = folder / f"{name}.json"
        if not file.exists():
            return Tally(name, file)
        kept = json.loads(file.read_text())
        return Tally(name, file, **kept | {"places": Counter(kept["places"])})

    def add(self, cases: int, cpu_seconds: float, found: Counter[str]) -> None:
        """What came of more cases: of those read, the microseconds of the slowest, and faults by their place."""
        found = found.copy()
        self.cases += cases
        self.cpu_seconds += cpu_seconds
        self.read += found.pop("read", 0)
        self.longest = max(self.longest, found.pop("longest", 0) / 1e6)
        self.places.update(found)

    def save(self) -> None:
        """For the next time."""
        kept = {each.name: getattr(self, each.name) for each in fields(self) if each.name not in ("name", "file")}
        self.file.parent.mkdir(parents=True, exist_ok=True)
        with replacing(self.file) as file:
            file.write_text(json.dumps(kept))

    def report(self, wanted: int) -> None:
        """Say how it stands; what is done is kept in ``benchmarks/results/fuzz.json``."""
        print(f"{self.name}: {self.cases} of {wanted} cases in {self.cpu_seconds:.0f} CPU s, {self.read} still read, "
              f"{len(self.places)} places with faults {dict(self.places)}", flush=True)  # fmt: skip
        if self.cases >= wanted:
            self.publish()

    def publish(self) -> None:
        """As a row beside other measurements."""
        figures = {"cases": self.cases, "cpu_seconds": round(self.cpu_seconds), "read": self.read,
                   "slowest_ms": round(1e3 * self.longest, 1), "faults": len(self.places)}  # fmt: skip
        keep("fuzz", self.name, {**figures, "scope": "damaged files, one thread"})
