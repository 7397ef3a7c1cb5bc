"""Loops over the generator of training steps: progress bar, metrics log, checkpoints, signals between steps."""

from __future__ import annotations

import json
import math
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from scenekit.assets.atomic import replacing
from scenekit.assets.run import METRICS, inside
from scenekit.assets.saving import Saving
from scenekit.cli.signals import undisturbed
from scenekit.core.checks import BadInput
from scenekit.training.objective import psnr_of
from scenekit.training.steps import Step, Training, steps

LOG_EVERY = 10  # steps between two lines of metrics.jsonl
SMOOTHING = 0.95  # of the PSNR in the bar: single batches differ by several dB


@dataclass
class Meter:
    """Smoothed numbers for people."""

    squared_error: float = 0.0
    weight: float = 0.0
    work: int = 0
    seconds: float = 0.0

    def add(self, step: Step) -> None:
        """Take in a step."""
        self.squared_error = SMOOTHING * self.squared_error + (1 - SMOOTHING) * 10 ** (-step.psnr / 10)
        self.weight = SMOOTHING * self.weight + (1 - SMOOTHING)
        self.work += step.work

    @property
    def psnr(self) -> float:
        """Of the last steps, in dB."""
        return psnr_of(self.squared_error / self.weight) if self.weight else 0.0


def run_steps(training: Training, saving: Saving, *, quiet: bool = False) -> Generator[Step, None, None]:
    """Train to the end with a bar on standard error, a log and checkpoints in the run; yields every step.

    Ctrl-C raises KeyboardInterrupt between two steps. Raises BadInput where the disk is full.
    """
    meter = Meter()
    console = Console(stderr=True, quiet=quiet)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:3.0f}%"),
        TextColumn("{task.fields[numbers]}"),
        TimeRemainingColumn(),
    )
    file = inside(saving.run, METRICS)
    _forget(file, training.index)
    with Progress(*columns, console=console) as bar, file.open("ab", buffering=0) as log:
        task = bar.add_task("training", total=1.0, numbers="")
        bar.update(task, completed=training.progress)
        for step in _undisturbed(steps(training)):
            meter.add(step)
            if step.index % LOG_EVERY == 0:
                _write(log, file, _row(step))
                rate = meter.work / max(1e-9, training.seconds - meter.seconds)
                meter.work, meter.seconds = 0, training.seconds
                numbers = f"{meter.psnr:5.2f} dB  {_count(rate)} {step.unit}/s"
                bar.update(task, completed=training.progress, numbers=numbers)
            if saving.is_due():
                saving.save(training.index, training.state_dict())
            yield step
        bar.update(task, completed=1.0)


def _undisturbed(stepping: Iterator[Step]) -> Iterator[Step]:
    """The same steps, none of them cut in two by a signal."""
    while True:
        with undisturbed():
            step = next(stepping, None)
        if step is None:
            return
        yield step


def _forget(file: Path, index: int) -> None:
    """Drop the lines of steps that will come again, and a last one that is cut short."""
    lines = file.read_bytes().splitlines(keepends=True) if file.exists() else []
    kept = [line for line in lines if _step_of(line) < index]
    if len(kept) < len(lines):
        with replacing(file) as temporary:
            temporary.write_bytes(b"".join(kept))


def _step_of(line: bytes) -> float:
    try:
        return json.loads(line)["step"]
    except (ValueError, KeyError, TypeError):
        return math.inf


def _write(log: BinaryIO, file: Path, row: dict[str, object]) -> None:
    try:
        log.write(json.dumps(row).encode() + b"\n")
    except OSError as error:
        raise BadInput.of(
            file,
            wanted="to go on with the log",
            found=error.strerror or str(error),
            remedy="free some space and continue with --resume; checkpoints are kept",
        ) from error


def _row(step: Step) -> dict[str, object]:
    return {
        "step": step.index,
        "progress": round(step.progress, 6),
        "seconds": round(step.seconds, 3),
        "loss": step.loss,
        "terms": dict(step.terms),
        "psnr": round(step.psnr, 3),
        step.unit: step.work,
    }


def _count(value: float) -> str:
    for factor, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= factor:
            return f"{value / factor:.1f}{unit}"
    return f"{value:.0f}"
