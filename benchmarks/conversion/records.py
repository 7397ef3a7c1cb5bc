"""What was found, in one file that several processes write, and who is at what."""

from __future__ import annotations

import fcntl
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scenekit.assets.atomic import replacing

Rows = dict[str, dict[str, Any]]
WRITING = "writing"  # no task is called so


@dataclass(frozen=True)
class Records:
    """``conversion.json`` of a folder: a row for each task that was carried out or refused, by the task's name."""

    folder: Path

    @property
    def file(self) -> Path:
        """Of all rows."""
        return self.folder / "conversion.json"

    def rows(self) -> Rows:
        """All there are; the file is whole at any time."""
        return json.loads(self.file.read_text())["rows"] if self.file.exists() else {}

    def went_well(self) -> dict[str, bool]:
        """Of each task that has a row, whether it was not refused."""
        return {name: "refused" not in row for name, row in self.rows().items()}

    def add(self, row: Mapping[str, Any]) -> None:
        """Beside those of other processes."""
        with self._changing() as rows:
            rows[row["task"]] = dict(row)

    def join(self, others: Rows) -> None:
        """Take rows of other machines; a row stays unless it says that its task was refused."""
        with self._changing() as rows:
            for name, row in others.items():
                if "refused" in rows.get(name, {"refused": ""}):
                    rows[name] = row

    def forget_refused(self) -> None:
        """So that they are tried again."""
        with self._changing() as rows:
            for name in [name for name, row in rows.items() if "refused" in row]:
                del rows[name]

    @contextmanager
    def claim(self, name: str, wait: bool = False) -> Iterator[bool]:
        """Whether no other process holds the name; the system lets go of it however this one ends."""
        folder = self.folder / "claims"
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / re.sub(r"[^\w.]+", "-", name)).open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
            else:
                yield True

    @contextmanager
    def _changing(self) -> Iterator[Rows]:
        with self.claim(WRITING, wait=True):
            rows = self.rows()
            yield rows
            with replacing(self.file) as file:
                file.write_text(json.dumps({"rows": rows}, indent=1) + "\n")
