"""What all browsers are told of training, and how they pause it and have it saved."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import numpy as np
import viser
from viser import uplot

from scenekit.core.checks import BadInput
from scenekit.live.callbacks import calling

TELL_EVERY = 0.25  # seconds between two lines about training
DRAW_EVERY = 1.0  # seconds between two curves
MOST_POINTS = 256  # of a curve
LOOK_EVERY = 0.1  # seconds, while paused


class Curve:
    """A series of bounded length: means over equal numbers of steps, which double whenever it is full."""

    def __init__(self) -> None:
        self._each = 1
        self._sums: list[tuple[float, float, int]] = []

    def add(self, step: float, value: float) -> None:
        """One more step; they come in order."""
        last = self._sums[-1] if self._sums else (0.0, 0.0, self._each)
        if last[2] < self._each:
            self._sums[-1] = (last[0] + step, last[1] + value, last[2] + 1)
            return
        if len(self._sums) == MOST_POINTS:
            pairs = zip(self._sums[::2], self._sums[1::2], strict=True)
            self._sums = [(a[0] + b[0], a[1] + b[1], a[2] + b[2]) for a, b in pairs]
            self._each *= 2
        self._sums.append((step, value, 1))

    def points(self) -> tuple[np.ndarray, np.ndarray]:
        """Steps and values."""
        rows = np.array(self._sums, dtype=np.float64).reshape(-1, 3)
        return rows[:, 0] / rows[:, 2], rows[:, 1] / rows[:, 2]


class Progress:
    """The part of every panel that is about training; hidden until there is something to say."""

    def __init__(self, server: viser.ViserServer) -> None:
        self._curve = Curve()
        self._text = ""
        self._told = self._drawn = 0.0
        self._save_asked = threading.Event()
        gui = server.gui
        self._folder = gui.add_folder("training", order=-1.0, visible=False)
        with self._folder:
            self.line = gui.add_text("training", "", disabled=True)
            nothing = np.zeros(1)
            series = (uplot.Series(label="step"), uplot.Series(label="PSNR (dB)", stroke="#3080c0", width=2))
            axes = (uplot.Axis(), uplot.Axis(label="PSNR (dB)"))
            scales = {"x": uplot.Scale(time=False, auto=True)}
            self._plot = gui.add_uplot((nothing, nothing), series, axes=axes, scales=scales, aspect=1.8, visible=False)
            self._pause = gui.add_checkbox("pause", False)
            self._save = gui.add_button("save")
        self._save.on_click(calling(self._save_asked.set))

    def update(self, text: str) -> None:
        """A line, at most four times a second."""
        self._text = text
        if time.monotonic() - self._told >= TELL_EVERY:
            self.tell()

    def score(self, step: int, psnr: float) -> None:
        """One more point of the curve."""
        self._curve.add(step, psnr)
        if time.monotonic() - self._drawn >= DRAW_EVERY:
            self.draw()

    def tell(self) -> None:
        """Show the line now."""
        self._told = time.monotonic()
        if self._text and self.line.value != self._text:
            self.line.value = self._text
            self._folder.visible = True

    def draw(self) -> None:
        """Show the curve now."""
        self._drawn = time.monotonic()
        steps, values = self._curve.points()
        if len(steps) > 1:
            self._plot.data = (steps, values)
            self._plot.visible = True

    def between(self, save: Callable[[], None] | None) -> None:
        """Between two steps: save where that was asked for, and wait while there is a pause."""
        while True:
            if self._save_asked.is_set():
                self._save_asked.clear()
                self._save_now(save)
            if not self._pause.value:
                return
            time.sleep(LOOK_EVERY)

    def end(self) -> None:
        """There is nothing to pause any more."""
        self.tell()
        self.draw()
        self._pause.visible = self._save.visible = False

    def _save_now(self, save: Callable[[], None] | None) -> None:
        if save is None:
            self.line.value = "this training is not saved"
            return
        try:
            save()
        except (OSError, BadInput) as error:  # a full disk is no reason to end a training
            self.line.value = f"not saved: {error}"
            return
        self.line.value = f"saved after: {self._text}"
