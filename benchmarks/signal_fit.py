"""Representations against each other on one signal, at equal steps: ``python -m benchmarks.signal_fit FILE``.

Their steps are taken in turns, some at a time, so that whatever else the machine does falls on both alike; the ratio
of times is the median over the turns, of which the first, in which kernels are compiled and steps recorded, does not
count on a GPU; there a turn ends when the GPU has done it. Parameters are made equal through the size of the tables.
``--keep ROW`` puts the result into ``results/signal_fit.json``.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from benchmarks import record
from scenekit.core.protocols import EVAL
from scenekit.data.signals import Signal, open_signal
from scenekit.kernels import native
from scenekit.recipes import FitSession, SignalFitting, prepare_fit
from scenekit.recipes.configs import from_plain
from scenekit.recipes.device import device_name, device_of, resident_signal
from scenekit.recipes.fit import ENCODERS, judge
from scenekit.training.objective import psnr_of
from scenekit.training.points import PROBE
from scenekit.training.steps import Step, steps


def parameters(session: FitSession) -> int:
    """How many numbers the session learns."""
    return sum(p.numel() for group in session.training.objective.parameter_groups() for p in group.parameters.values())


def config_of(text: str) -> tuple[str, Any]:
    """``NAME`` or ``NAME:key=value,...`` as a representation's config."""
    name, _, rest = text.partition(":")
    values = dict(pair.split("=") for pair in rest.split(",")) if rest else {}
    return name, from_plain(ENCODERS[name], {key: _number(value) for key, value in values.items()}, text)


def _number(value: str) -> Any:
    for kind in (int, float):
        try:
            return kind(value)
        except ValueError:
            continue
    return value


def in_turns(sessions: dict[str, FitSession], block: int, device: torch.device) -> dict[str, list[tuple[float, float]]]:
    """(wall, CPU) seconds of every block of steps, by name; the first to go alternates."""
    running: dict[str, Iterator[Step]] = {name: steps(session.training) for name, session in sessions.items()}
    spent: dict[str, list[tuple[float, float]]] = {name: [] for name in sessions}
    total = next(iter(sessions.values())).training.budget.steps or 0
    for turn in range(total // block):
        names = list(sessions)[:: 1 if turn % 2 == 0 else -1]
        for name in names:
            wall, cpu = time.perf_counter(), time.process_time()
            for _ in range(block):
                next(running[name])
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            spent[name].append((time.perf_counter() - wall, time.process_time() - cpu))
    return spent


def compare(signal: Signal, names: list[str], options: argparse.Namespace) -> dict[str, Any]:
    """Times of all blocks and figures at the end."""
    device = device_of(options.device)
    fitting = SignalFitting(steps=options.steps, batch_points=options.points, device=options.device)
    signal = resident_signal(signal, device)
    sessions = {text: prepare_fit(signal, config_of(text)[1], fitting) for text in names}
    spent = in_turns(sessions, options.block, device)
    if device.type == "cuda":
        spent = {text: blocks[1:] for text, blocks in spent.items()}
    first = names[0]
    rows, scope = [], ""
    for text, session in sessions.items():
        wall, cpu = (sum(block[i] for block in spent[text]) for i in (0, 1))
        ratios = [[b[i] / a[i] for a, b in zip(spent[first], spent[text], strict=True)] for i in (0, 1)]
        figures = _probed(session) if options.probe else judge(session.scene, signal)
        scope = figures["scope"]
        rows.append(
            {
                "representation": text,
                "parameters": parameters(session),
                "wall_seconds": round(wall, 2),
                "cpu_seconds": round(cpu, 2),
                "steps_timed": len(spent[text]) * options.block,
                "wall_ratio": round(statistics.median(ratios[0]), 4),
                "cpu_ratio": round(statistics.median(ratios[1]), 4),
                **{key: round(value, 5) for key, value in figures.items() if isinstance(value, float)},
            }
        )
    return {"rows": rows, "judged": scope}


def _probed(session: FitSession) -> dict[str, Any]:
    return {
        "psnr": psnr_of(session.training.objective.probe(EVAL)),
        "scope": f"{PROBE} random points, the same for all",
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", help="an image, a panorama, a mesh or a volume")
    parser.add_argument("--between", nargs="+", default=["hash_grid", "simplex_grid"],
                        help="representations, as NAME or NAME:key=value,...; ratios are to the first")  # fmt: skip
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--points", type=int, default=2**16, help="a step")
    parser.add_argument("--block", type=int, default=10, help="steps in a turn")
    parser.add_argument("--probe", action="store_true", help="judge on some points alone")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    parser.add_argument("--keep", metavar="ROW", help="the result's name among those that are kept")
    parser.add_argument("--output", type=Path, help="where to write the result as JSON")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    result = {
        "file": Path(options.file).name,
        "steps": options.steps,
        "points": options.points,
        "threads": options.threads,
        "device": device_name(device_of(options.device)),
        "kernels": native.describe(),
        **compare(open_signal(options.file), options.between, options),
        "load": os.getloadavg()[0],
    }
    if options.keep:
        record.keep("signal_fit", options.keep, result)
    print(json.dumps(result, indent=1))
    if options.output is not None:
        record.write(options.output, result)


if __name__ == "__main__":
    main()
