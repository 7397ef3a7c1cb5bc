"""Measures the results page: every representation on small captures, on a CPU.

    SCENEKIT_DATA=/folder/of/captures python -m benchmarks.results_page [--again] [ROW ...]

A row (``fox-hash_grid``) is trained, judged on held-out photographs and timed on them, as a user would; its figures
go to ``benchmarks/results/results_page.json`` and one picture to ``docs/results``. Rows that stand there are not done
again unless they are named or ``--again`` is given, so that an interrupted call goes on. ``seconds`` is training alone
by the wall clock, ``cpu_seconds`` the training process's CPU time over all cores; on a machine that does other work
too, compare those. ``python -m benchmarks.tables`` then writes the page.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import torch
from PIL import Image

import scenekit as sk
from benchmarks.record import call, data, keep, read
from scenekit.data import Capture
from scenekit.representations import REPRESENTATIONS

NAME = "results_page"
PICTURES = Path(__file__).parent.parent / "docs" / "results"
SHOWN = 3  # which of the held-out views is shown


@dataclass(frozen=True)
class Task:
    """A capture at a size, for how long it is trained, and as what."""

    capture: str
    preset: str
    downscale: float
    minutes: float
    representations: tuple[str, ...]


WITH_PRESETS = ("gaussians", "hash_grid", "simplex_grid", "rbf")
TASKS = (
    Task("fox", "fox-cpu", 8, 2, tuple(REPRESENTATIONS)),
    Task("lego", "blender", 8, 1, WITH_PRESETS),
    Task("room", "forward-facing", 4, 1, WITH_PRESETS),
    Task("bonsai", "unbounded", 4, 1, WITH_PRESETS),
)
ROWS = {f"{task.capture}-{name}": (task, name) for task in TASKS for name in task.representations}


def measure(task: Task, representation: str) -> dict[str, Any]:
    """Train, judge and time one row; write its picture."""
    before = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        run = str(Path(folder) / "run")
        trained = call(
            "train", str(data() / task.capture), "-r", representation, "--preset", task.preset,
            "--downscale", str(task.downscale), "--minutes", str(task.minutes), "-o", run, "--json",
        )  # fmt: skip
        judged = call("evaluate", run, "--json")
        size = (Path(run) / "scene.safetensors").stat().st_size
        capture = sk.open_capture(data() / task.capture, downscale=task.downscale)
        frame = frames(capture, Path(run), f"{task.capture}-{representation}")
    return {
        "psnr": round(judged["psnr"], 2),
        "ssim": round(judged["ssim"], 4),
        "scope": judged["scope"],
        "steps": trained["steps"],
        "seconds": trained["seconds"],
        "cpu_seconds": trained["cpu_seconds"],
        "seconds_of_preparation": trained["seconds_of_preparation"],
        "milliseconds_a_frame": round(1000 * frame, 1),
        "bytes": size,
        "peak_memory_bytes": trained["peak_memory_bytes"],
        "preset": task.preset,
        "load_before": round(before, 2),
        "load_after": round(os.getloadavg()[0], 2),
    }


@torch.no_grad()
def frames(capture: Capture, run: Path, name: str) -> float:
    """Median seconds of a held-out view, each rendered twice; one of them becomes the row's picture."""
    scene = sk.load(run)
    seconds = []
    for index in [*capture.test, *capture.test]:
        begun = time.perf_counter()
        scene.render(capture.cameras[index])
        seconds.append(time.perf_counter() - begun)
    shown = capture.test[min(SHOWN, len(capture.test) - 1)]
    color = scene.render(capture.cameras[shown]).color[0]
    save(color, PICTURES / f"{name}.webp")
    photograph = capture.images[shown].float() / 255
    alpha = photograph[..., 3:] if photograph.shape[-1] == 4 else torch.ones_like(photograph[..., :1])
    save(photograph[..., :3] * alpha + 1 - alpha, PICTURES / f"{capture_name(name)}.webp")
    return median(seconds)


def capture_name(row: str) -> str:
    return row.partition("-")[0]


def save(color: torch.Tensor, file: Path) -> None:
    """A small picture; WebP at 85 % keeps what the eye can tell."""
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray((color.clamp(0, 1) * 255).round().byte().numpy()).save(file, quality=85)


def main(arguments: list[str]) -> None:
    named = [argument for argument in arguments if argument != "--again"]
    done = set() if "--again" in arguments or named else set(read(NAME)["rows"])
    for row in named or ROWS:
        if row not in done:
            keep(NAME, row, measure(*ROWS[row]))


if __name__ == "__main__":
    main(sys.argv[1:])
