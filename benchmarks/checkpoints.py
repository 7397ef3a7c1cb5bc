"""What checkpoints take of a training: ``python -m benchmarks.checkpoints --output FILE.json``.

A hash grid of 2^19 entries a level and a million Gaussians, at their real sizes on a CPU, with the moments of their
optimizer. For each, a checkpoint is written as trainings do (copied between two steps, written by a thread) and, to
compare, within the training. Seconds blocked are those in which no step could be taken; CPU seconds are the
writer's. The share is of the time between two checkpoints, which is a minute or longer where it would pass 1 %.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from benchmarks import record
from scenekit.assets.run import checkpoints, write_checkpoint
from scenekit.assets.saving import EVERY, LARGEST_SHARE, Saving
from scenekit.core.bounds import Bounds
from scenekit.core.protocols import ParameterGroup
from scenekit.representations import REPRESENTATIONS
from scenekit.training.optimizer import Optimizer

COUNT = 1_000_000
TIMES = 4  # the first takes new memory, and is told apart
SPLAT_PARTS = {"means": 3, "quaternions": 4, "log_scales": 3, "opacity_logits": 1, "harmonics": 48}


def states() -> dict[str, dict[str, Any]]:
    """What trainings of both kinds keep."""
    field = REPRESENTATIONS["hash_grid"](log2_table=19).build(Bounds(), torch.Generator().manual_seed(0))
    grid = field.parameter_groups()
    values = {name: torch.nn.Parameter(torch.randn(COUNT, width)) for name, width in SPLAT_PARTS.items()}
    splats = [ParameterGroup("splats", values, lambda _: 1e-3)]
    return {"hash_grid, 2^19 entries a level": _state(grid), "gaussians, 1,000,000 of degree 3": _state(splats)}


def _state(groups: list[ParameterGroup]) -> dict[str, Any]:
    parameters = {name: tensor.detach() for group in groups for name, tensor in group.parameters.items()}
    return {"parameters": parameters, "optimizer": Optimizer(groups).state_dict(), "index": 0}


def measured(state: dict[str, Any], folder: Path) -> dict[str, float]:
    """Seconds of checkpoints beside a training and within it."""
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
    size = sum(file.stat().st_size for file in checkpoints(folder)[-1].iterdir())
    return {
        "bytes": size,
        "blocked_seconds_first": round(blocked[0], 4),
        "blocked_seconds": round(still, 4),
        "blocked_share": round(still / between, 5),
        "blocked_and_cpu_seconds": round(cost, 4),
        "blocked_and_cpu_share": round(cost / between, 5),
        "seconds_between": round(between, 1),
        "seconds_until_written": round(sorted(written)[len(written) // 2], 3),
        "seconds_within_the_training": round(within, 3),
    }


def main() -> None:
    """Measure both and print the figures."""
    parser = argparse.ArgumentParser(description="What checkpoints take of a training.")
    parser.add_argument("--output", type=Path)
    parser.add_argument("--folder", type=Path, help="where checkpoints are written; the system's temporary folder")
    options = parser.parse_args()
    results = {}
    for name, state in states().items():
        with tempfile.TemporaryDirectory(dir=options.folder) as folder:
            results[name] = measured(state, Path(folder))
        print(name, json.dumps(results[name]), flush=True)
    if options.output is not None:
        record.write(options.output, {"threads": torch.get_num_threads(), "rows": results})


if __name__ == "__main__":
    main()
