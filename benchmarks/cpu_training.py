"""Trains every row of the CPU table and judges it on held-out photographs.

    SCENEKIT_DATA=/folder/of/captures python benchmarks/cpu_training.py [ROW ...]

Each row runs ``scenekit train`` and ``scenekit evaluate`` as a user would, in processes of their own, and its figures
go to ``benchmarks/results/cpu_training.json``, keyed by row; rows that are not run keep what stands there. ``seconds``
is training alone by the wall clock; ``cpu_seconds_halved`` is the process's CPU time over two, which is what the wall
would show on two free cores; triangulation and loading are reported apart as preparation.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results" / "cpu_training.json"


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


def call(*arguments: str) -> dict[str, Any]:
    """One scenekit command in a process of its own; its standard output is one JSON object."""
    command = [sys.executable, "-m", "scenekit", *arguments]
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    return json.loads(output)


def machine() -> dict[str, Any]:
    """What the figures hold for."""
    model = next(
        (line.split(":", 1)[1].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")),
        platform.processor(),
    )
    return {
        "processor": model,
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "torch": version("torch"),
        "scenekit": version("scenekit"),
    }


def _lines(file: str) -> list[str]:
    path = Path(file)
    return path.read_text().splitlines() if path.exists() else []


def main(wanted: list[str]) -> None:
    data = os.environ.get("SCENEKIT_DATA")
    if data is None:
        sys.exit("SCENEKIT_DATA: wanted the folder of captures, found nothing; set it")
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {"rows": {}}
    for name in wanted or ROWS:
        results["machine"] = machine()
        results["rows"][name] = measure(ROWS[name], Path(data))
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(json.dumps(results, indent=2) + "\n")
        print(name, json.dumps(results["rows"][name]))


if __name__ == "__main__":
    main(sys.argv[1:])
