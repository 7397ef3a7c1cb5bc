"""What more processes are worth: photographs a second, or samples of rays, at how many decibels.

    SCENEKIT_DATA=/folder/of/captures python -m benchmarks.distributed [ROW ...] [--processes 2] [--steps 30000]
        [--points FOLDER]

A row is a training in one process, and one in several that sees as many photographs: each of these takes a share of
every step, so that there are fewer steps. Both are judged on the same held-out views. ``rate`` is all that was looked
at over the seconds that ``train`` counts, ``speedup`` the larger over the smaller; ``psnr_off`` what the decibels of
several are above those of one. On GPUs each process has one, and rows on lego are run; without any, small ones.
Both start from the same triangulated points: those of the first, or of a run or folder that has them already.
Results go to ``benchmarks/results/distributed.json``.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks.record import call, data, keep

RESULTS = "distributed"
ROWS: dict[str, tuple[str, ...]] = {
    "gaussians lego": ("lego", "--preset", "gpu", "-r", "gaussians"),
    "gaussians lego many": ("lego", "--preset", "gpu", "-r", "gaussians", "--max-count", "3000000",
                               "--gradient-threshold", "5e-5"),
    "gaussians lego 4 a step": ("lego", "--preset", "gpu", "-r", "gaussians", "--batch-photographs", "4"),
    "gaussians lego many 2 a step": ("lego", "--preset", "gpu", "-r", "gaussians", "--max-count", "3000000",
                                     "--gradient-threshold", "5e-5", "--batch-photographs", "2"),
    "hash_grid lego": ("lego", "--preset", "gpu", "-r", "hash_grid"),
    "hash_grid lego large batch": ("lego", "--preset", "gpu", "-r", "hash_grid", "--batch-samples", "1048576"),
    "hash_grid lego larger batch": ("lego", "--preset", "gpu", "-r", "hash_grid", "--batch-samples", "2097152"),
    "gaussians synthetic": ("synthetic", "-r", "gaussians", "--downscale", "2"),
    "hash_grid synthetic": ("synthetic", "-r", "hash_grid", "--downscale", "2", "--log2-table", "14"),
}  # fmt: skip


def trained(arguments: Sequence[str], processes: int, steps: int, run: Path) -> dict[str, Any]:
    """One training, judged: what it looked at a second, and how good it is; ``run`` may hold points."""
    capture, *flags = arguments
    source = capture if capture == "synthetic" else str(data() / capture)
    limits = ("--steps", str(steps), "--minutes", "600", "--processes", str(processes))
    figures = call("train", source, *flags, *limits, "-o", str(run), "--json")
    judged = call("evaluate", str(run), "--json")
    whole = "splats" in figures["last_step"]
    seen = steps * processes * _photographs_a_step(flags) if whole else _samples_a_step(run) * steps
    return {
        "steps": steps,
        "seconds": figures["seconds"],
        "psnr": round(judged["psnr"], 2),
        "rate": seen / figures["seconds"],
        "unit": "photographs a second" if whole else "samples a second",
        "peak_memory_bytes": figures.get("peak_gpu_memory_bytes", figures["peak_memory_bytes"]),
        "device": figures["device"],
    }


def _photographs_a_step(flags: Sequence[str]) -> int:
    """Of each process."""
    asked = "--batch-photographs"
    return int(flags[flags.index(asked) + 1]) if asked in flags else 1


def _samples_a_step(run: Path) -> float:
    """Of all processes, by the log."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return sum(line["samples"] for line in lines) / len(lines)


def with_points_of(source: Path | None, run: Path) -> Path:
    """A new run, where triangulated points are taken over."""
    run.mkdir()
    for file in [] if source is None else source.glob("points-*.npz"):
        shutil.copy(file, run)
    return run


def measured(arguments: Sequence[str], processes: int, steps: int, points: Path | None = None) -> dict[str, Any]:
    """One process, then several."""
    with tempfile.TemporaryDirectory() as folder:
        first = with_points_of(points, Path(folder) / "one")
        one = trained(arguments, 1, steps, first)
        several = trained(arguments, processes, steps // processes, with_points_of(first, Path(folder) / "several"))
    return {
        "arguments": " ".join(arguments),
        "processes": processes,
        "rate_of_one": round(one["rate"], 3),
        "rate": round(several["rate"], 3),
        "unit": one["unit"],
        "speedup": round(several["rate"] / one["rate"], 3),
        "psnr_of_one": one["psnr"],
        "psnr": several["psnr"],
        "psnr_off": round(several["psnr"] - one["psnr"], 2),
        "seconds_of_one": one["seconds"],
        "seconds": several["seconds"],
        "steps_of_one": one["steps"],
        "steps": several["steps"],
        "memory_of_one": one["peak_memory_bytes"],
        "memory_of_the_first": several["peak_memory_bytes"],
        "device": one["device"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", nargs="*", help="; ".join(ROWS))
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--steps", type=int, default=30_000)
    parser.add_argument("--points", type=Path)
    options = parser.parse_args()
    gpus = torch.cuda.device_count()
    if gpus and gpus < options.processes:
        raise SystemExit(f"distributed: wanted a GPU for each of {options.processes} processes, found {gpus}")
    for name in options.rows or [row for row in ROWS if ("synthetic" in row) != bool(gpus)]:
        keep(
            RESULTS,
            f"{name} {options.processes}x",
            measured(ROWS[name], options.processes, options.steps, options.points),
        )


if __name__ == "__main__":
    main()
