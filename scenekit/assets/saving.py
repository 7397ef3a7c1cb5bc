"""Checkpoints beside training: a copy is taken between two steps and written by a thread of its own."""

from __future__ import annotations

import copy
import time
from collections.abc import Mapping
from pathlib import Path
from threading import Thread
from typing import Any

import torch
from torch import Tensor

from scenekit.assets.run import write_checkpoint

EVERY = 60.0  # seconds between two checkpoints, at least
LARGEST_SHARE = 0.01  # of the time that checkpoints may take: where they take longer, they become rarer


class Saving:
    """Writes the checkpoints of one run; :meth:`last` ends it.

    Attributes:
        cost: seconds that the newest checkpoint took of the training: its copy, and the CPU time of its writing.
        blocked: seconds of that in which training stood still.
        count: of checkpoints so far.
        stalled: seconds in which training stood still for all of them.
        spent: those and the CPU time of writing them all.
    """

    def __init__(self, run: Path) -> None:
        self.run = run
        self.cost = 0.0
        self.blocked = 0.0
        self.count = 0
        self.stalled = 0.0
        self.spent = 0.0
        self._copies: dict[str, Tensor] = {}
        self._writing: Thread | None = None
        self._failed: Exception | None = None
        self._saved = time.monotonic()

    def is_due(self) -> bool:
        """Whether it is time for the next. Raises BadInput where the one before could not be written."""
        if self._writing is not None and self._writing.is_alive():
            return False
        self.wait()
        return time.monotonic() - self._saved > max(EVERY, self.cost / LARGEST_SHARE)

    def save(self, step: int, state: Mapping[str, Any]) -> None:
        """Copy ``state`` and have it written; returns as soon as the state may change again."""
        asked = time.perf_counter()
        self.wait()
        began = time.perf_counter()
        copied = self._copied(state, "")
        ended = time.perf_counter()
        self.blocked = self.cost = ended - began
        self.count += 1
        self.stalled += ended - asked
        self.spent += ended - asked
        self._saved = time.monotonic()
        self._writing = Thread(target=self._write, args=(step, copied), name="checkpoint", daemon=True)
        self._writing.start()

    def wait(self) -> None:
        """Until nothing is being written. Raises BadInput where that failed."""
        if self._writing is not None:
            self._writing.join()
            self._writing = None
        failed, self._failed = self._failed, None
        if failed is not None:
            raise failed

    def last(self, step: int, state: Mapping[str, Any]) -> None:
        """Write ``state`` now, without a copy. Raises BadInput where it cannot be written."""
        if self._writing is not None:
            self._writing.join()
        write_checkpoint(self.run, step, state)

    def _write(self, step: int, state: Mapping[str, Any]) -> None:
        began = time.thread_time()
        try:
            write_checkpoint(self.run, step, state)
        except Exception as error:  # said by the thread that trains
            self._failed = error
        wrote = time.thread_time() - began
        self.cost += wrote
        self.spent += wrote

    def _copied(self, state: Mapping[str, Any], prefix: str) -> dict[str, Any]:
        """Into the same memory every time: memory that is new to a process costs more than what is copied to it."""
        copied: dict[str, Any] = {}
        for key, value in state.items():
            if isinstance(value, Mapping):
                copied[key] = self._copied(value, f"{prefix}{key}/")
            elif isinstance(value, Tensor):
                copied[key] = self._filled(f"{prefix}{key}", value)
            else:
                copied[key] = copy.deepcopy(value)
        return copied

    @torch.no_grad()
    def _filled(self, name: str, value: Tensor) -> Tensor:
        found = self._copies.get(name)
        if found is None or found.shape != value.shape or found.dtype != value.dtype:
            found = self._copies[name] = torch.empty(value.shape, dtype=value.dtype)
        return found.copy_(value)
