"""Loops over the generator of training steps: progress bar, metrics log, checkpoints."""

from __future__ import annotations

import json
import time
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from scenekit.assets.run import METRICS, write_checkpoint
from scenekit.training.objective import psnr_of
from scenekit.training.steps import Step, Training, steps

LOG_EVERY = 10  # steps between two lines of metrics.jsonl
CHECKPOINT_SECONDS = 60.0
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


def run_steps(training: Training, run: Path, *, quiet: bool = False) -> Generator[Step, None, None]:
    """Train to the end with a bar on standard error, a log and checkpoints in ``run``; yields every step."""
    meter = Meter()
    console = Console(stderr=True, quiet=quiet)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:3.0f}%"),
        TextColumn("{task.fields[numbers]}"),
        TimeRemainingColumn(),
    )
    saved = time.monotonic()
    with Progress(*columns, console=console) as bar, (run / METRICS).open("a") as log:
        task = bar.add_task("training", total=1.0, numbers="")
        bar.update(task, completed=training.progress)
        for step in steps(training):
            meter.add(step)
            if step.index % LOG_EVERY == 0:
                log.write(json.dumps(_row(step)) + "\n")
                log.flush()
                rate = meter.work / max(1e-9, training.seconds - meter.seconds)
                meter.work, meter.seconds = 0, training.seconds
                numbers = f"{meter.psnr:5.2f} dB  {_count(rate)} {step.unit}/s"
                bar.update(task, completed=training.progress, numbers=numbers)
            if time.monotonic() - saved > CHECKPOINT_SECONDS:
                write_checkpoint(run, training.index, training.state_dict())
                saved = time.monotonic()
            yield step
        bar.update(task, completed=1.0)


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
