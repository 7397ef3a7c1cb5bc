"""Trains every row of the CPU table and judges it on held-out photographs.

    SCENEKIT_DATA=/folder/of/captures python -m benchmarks.cpu_training [ROW ...]

Each row runs ``scenekit train`` and ``scenekit evaluate`` as a user would, in processes of their own, and its figures
go to ``benchmarks/results/cpu_training.json``, keyed by row; rows that are not run keep what stands there. ``seconds``
is training alone by the wall clock; ``cpu_seconds_halved`` is the process's CPU time over two, which is what the wall
would show on two free cores; triangulation and loading are reported apart as preparation. ``python -m
benchmarks.tables`` then writes README's table.
"""

from __future__ import annotations

import os
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.record import call, data, keep


@dataclass(frozen=True)
class Row:
    """One line of the table: which capture, at which reduction, as what, with which preset."""

    capture: str
    representation: str
    preset: str
    downscale: float


ROWS = {
    "fox-gaussians": Row("fox", "gaussians", "fox-cpu", 4),
    "fox-hash_grid": Row("fox", "hash_grid", "fox-cpu", 4),
    "lego-gaussians": Row("lego", "gaussians", "blender", 4),
    "lego-hash_grid": Row("lego", "hash_grid", "blender", 4),
    "room-gaussians": Row("room", "gaussians", "forward-facing", 2),
    "room-hash_grid": Row("room", "hash_grid", "forward-facing", 2),
    "bonsai-gaussians": Row("bonsai", "gaussians", "unbounded", 2),
    "bonsai-hash_grid": Row("bonsai", "hash_grid", "unbounded", 2),
}


def measure(row: Row, data: Path) -> dict[str, Any]:
    """Train and evaluate one row."""
    with tempfile.TemporaryDirectory() as folder:
        run = str(Path(folder) / "run")
        trained = call(
            "train", str(data / row.capture), "-r", row.representation, "--preset", row.preset,
            "--downscale", str(row.downscale), "-o", run, "--json",
        )  # fmt: skip
        judged = call("evaluate", run, "--json")
    return {
        "psnr": round(judged["psnr"], 2),
        "ssim": round(judged["ssim"], 4),
        "scope": judged["scope"],
        "seconds": trained["seconds"],
        "cpu_seconds_halved": round(trained["cpu_seconds"] / 2, 2),
        "seconds_of_preparation": trained["seconds_of_preparation"],
        "triangulation": trained["triangulation"],
        "steps": trained["steps"],
        "last_step": trained["last_step"],
        "peak_memory_gib": round(trained["peak_memory_bytes"] / 2**30, 2),
        "preset": row.preset,
        "load": os.getloadavg()[0],
    }


def main(wanted: list[str]) -> None:
    for name in wanted or ROWS:
        keep("cpu_training", name, measure(ROWS[name], data()))


if __name__ == "__main__":
    main(sys.argv[1:])
