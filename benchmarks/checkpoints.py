"""What checkpoints take of a training.

    SCENEKIT_DATA=/folder/of/captures python -m benchmarks.checkpoints [ROW ...]

Trainings of fox are whole ones, as ``scenekit train`` makes them, long enough for some checkpoints; what those took of
them the command itself says. States are those of a hash grid of 2^19 entries a level and of a million Gaussians with
the moments of their optimizer, too large to train on a CPU: for each, a checkpoint is written as trainings do (copied
between two steps, written by a thread) and, to compare, within the training. Seconds stalled are those in which no step
could be taken; ``..._and_cpu`` adds the CPU time of the thread that writes. Shares are of a training's seconds; for
states, of the time between two checkpoints, which is a minute, or longer where they would take more than a hundredth.
Results go to ``benchmarks/results/checkpoints.json``.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch

from benchmarks.record import call, data, keep
from scenekit.assets.run import checkpoints, write_checkpoint
from scenekit.assets.saving import EVERY, LARGEST_SHARE, Saving
from scenekit.core.bounds import Bounds
from scenekit.core.protocols import ParameterGroup
from scenekit.representations import REPRESENTATIONS
from scenekit.training.optimizer import Optimizer

COUNT = 1_000_000
TIMES = 4  # the first takes new memory, and is told apart
SPLAT_PARTS = {"means": 3, "quaternions": 4, "log_scales": 3, "opacity_logits": 1, "harmonics": 48}


def training(name: str, *flags: str) -> dict[str, Any]:
    """Fox, trained until some checkpoints were written."""
    options = ("-r", name, "--preset", "fox-cpu", "--minutes", "60", *flags)
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        trained = call("train", str(data() / "fox"), *options, "-o", str(run), "--json")
        size = _size(run)
    count = trained["checkpoints"]["count"]
    if count == 0:
        sys.exit(f"benchmarks.checkpoints: wanted checkpoints, found none in {trained['seconds']} s; add --steps")
    stalled, spent = (trained["checkpoints"][key] for key in ("stalled_seconds", "stalled_and_cpu_seconds"))
    return {
        "checkpoints": count,
        "bytes": size,
        "seconds": trained["seconds"],
        "stalled_seconds": round(stalled / count, 4),
        "stalled_share": round(stalled / trained["seconds"], 6),
        "stalled_and_cpu_share": round(spent / trained["seconds"], 6),
        "scope": f"fox, {' '.join(options)}; seconds a checkpoint, shares of the training; {trained['device']}",
    }


def state(name: str, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What a training of that size keeps, written beside a training and within it."""
    with tempfile.TemporaryDirectory() as folder:
        measured = _written(make(), Path(folder))
    threads = torch.get_num_threads()
    return measured | {"scope": f"the state of {name}, without steps; seconds a checkpoint; cpu, {threads} threads"}


def _grid() -> dict[str, Any]:
    field = REPRESENTATIONS["hash_grid"](log2_table=19).build(Bounds(), torch.Generator().manual_seed(0))
    return _state(field.parameter_groups())


def _splats() -> dict[str, Any]:
    values = {name: torch.nn.Parameter(torch.randn(COUNT, width)) for name, width in SPLAT_PARTS.items()}
    return _state([ParameterGroup("splats", values, lambda _: 1e-3)])


def _state(groups: list[ParameterGroup]) -> dict[str, Any]:
    parameters = {name: tensor.detach() for group in groups for name, tensor in group.parameters.items()}
    return {"parameters": parameters, "optimizer": Optimizer(groups).state_dict(), "index": 0}


def _written(state: dict[str, Any], folder: Path) -> dict[str, Any]:
    saving = Saving(folder)
    blocked, costs, written = [], [], []
    for step in range(TIMES):
        began = time.perf_counter()
        saving.save(step, state)
        blocked.append(time.perf_counter() - began)
        saving.wait()
        written.append(time.perf_counter() - began)
        costs.append(saving.cost)
    began = time.perf_counter()
    write_checkpoint(folder, TIMES, state)
    within = time.perf_counter() - began
    cost = sorted(costs[1:])[len(costs) // 2 - 1]
    still = sorted(blocked[1:])[len(blocked) // 2 - 1]
    between = max(EVERY, cost / LARGEST_SHARE)
    return {
        "bytes": _size(folder),
        "stalled_seconds_first": round(blocked[0], 4),
        "stalled_seconds": round(still, 4),
        "stalled_share": round(still / between, 6),
        "stalled_and_cpu_share": round(cost / between, 6),
        "seconds_between": round(between, 1),
        "seconds_until_written": round(sorted(written)[len(written) // 2], 3),
        "seconds_within_the_training": round(within, 3),
    }


def _size(run: Path) -> int:
    """Bytes of the newest checkpoint."""
    return sum(file.stat().st_size for file in checkpoints(run)[-1].iterdir())


ROWS: dict[str, Callable[[], dict[str, Any]]] = {
    "hash_grid, fox": partial(training, "hash_grid", "--steps", "900"),
    "gaussians, fox": partial(training, "gaussians", "--steps", "2200"),
    "hash_grid, 2^19 entries a level": partial(state, "a hash grid of 2^19 entries a level", _grid),
    "gaussians, 1,000,000 of degree 3": partial(state, "a million Gaussians of degree 3", _splats),
}


def main(wanted: list[str]) -> None:
    for row in wanted or ROWS:
        keep("checkpoints", row, ROWS[row]())


if __name__ == "__main__":
    main(sys.argv[1:])
