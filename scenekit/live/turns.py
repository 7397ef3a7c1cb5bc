"""Training and viewing take turns at a scene, and viewing takes no more than its share."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

TRAINING_PAUSE = 2.0  # seconds without a step after which training no longer counts as going on


class Turns:
    """A lock with manners.

    A view that waits goes before the next step, so that a tight training loop cannot starve it. After a view
    that took r seconds the next one waits for ``r (1 - share) / share``: while training goes on, viewing has
    at most ``share`` of the time, whatever the number of browsers. Without training nothing is held back.

    Attributes:
        share: of the time, for views, in (0, 1].
        steps: how many turns of training have ended: the scene's age.
    """

    def __init__(self, share: float = 0.5) -> None:
        self.share = share
        self.steps = 0
        self._changed = threading.Condition()
        self._busy = False
        self._view_waits = False
        self._step_waits = False
        self._view_from = 0.0  # the next view's earliest time while training goes on
        self._last_step = -TRAINING_PAUSE

    @contextmanager
    def training(self) -> Iterator[None]:
        """Hold the scene for one step."""
        with self._changed:
            self._step_waits = True
            while self._busy or (self._view_waits and time.monotonic() >= self._view_from):
                self._changed.wait()
            self._step_waits = False
            self._busy = True
        try:
            yield
        finally:
            with self._changed:
                self._busy = False
                self.steps += 1
                self._last_step = time.monotonic()
                self._changed.notify_all()

    @contextmanager
    def viewing(self) -> Iterator[None]:
        """Hold the scene for one picture, or a part of one."""
        with self._changed:
            self._view_waits = True
            while self._busy or self._held_back() > 0:
                self._changed.wait(None if self._busy else self._held_back())
            self._view_waits = False
            self._busy = True
        begun = time.monotonic()
        try:
            yield
        finally:
            with self._changed:
                now = time.monotonic()
                self._busy = False
                self._view_from = now + (now - begun) * (1 - self.share) / self.share
                self._changed.notify_all()

    def _held_back(self) -> float:
        now = time.monotonic()
        if not self._step_waits and now - self._last_step > TRAINING_PAUSE:
            return 0.0
        return max(0.0, self._view_from - now)
