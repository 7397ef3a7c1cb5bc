"""How soon fields of a surface are how good: ``python -m benchmarks.surface_fit FILE [--between A B] [--seconds S T]``.

The file is a mesh, or distances to one (.npz) that ``--write`` has computed where the packages for meshes are:

    python -m benchmarks.surface_fit armadillo.obj --write armadillo.npz

Each representation is fitted within its own time, the first first; now and then the clock stands still and it is
judged. The others say after how many seconds of training they were as good as the first one's best: by the IoU of the
insides, and by the mean of |field| on the surface ("away": half of the Chamfer distance, the one that needs no mesh).
Seconds of preparation (building, compiling what was not kept, bringing points to the GPU) stand beside those of
training. ``--keep ROW`` puts the result into ``results/surface_fit.json``.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import torch

from benchmarks import record
from benchmarks.signal_fit import config_of, parameters
from scenekit.assets.distances import write_distances
from scenekit.core.checks import BadInput
from scenekit.data.signals import Signal, open_signal
from scenekit.data.signals.distances import SampledSurface
from scenekit.data.signals.surface import SurfaceSignal
from scenekit.recipes import SignalFitting, prepare_fit
from scenekit.recipes.device import device_name, device_of
from scenekit.recipes.fit import judge
from scenekit.training.steps import steps

FIRST, GROWTH = 0.1, 1.1  # progress at which a field is first judged, and by how much it grows until the next time


def curve(signal: SampledSurface, text: str, seconds: float, options: argparse.Namespace) -> dict[str, Any]:
    """Figures over the seconds of training of one representation."""
    began = time.perf_counter()
    fitting = SignalFitting(minutes=seconds / 60, batch_points=options.points, device=options.device, seed=options.seed)
    session = prepare_fit(signal, config_of(text)[1], fitting)
    training, found, due = session.training, [], FIRST
    preparation = time.perf_counter() - began
    for step in steps(training):
        if training.progress < due and training.progress < 1.0:
            continue
        if training.progress < 1.0:
            due = max(due * GROWTH, training.progress)
        _wait(training.generator.device)
        figures = judge(session.scene, signal)
        found.append({"seconds": round(step.seconds, 2), "steps": step.index + 1, **_rounded(figures)})
    return {
        "representation": text,
        "parameters": parameters(session),
        "preparation_seconds": round(preparation, 2),
        "seconds": round(training.seconds, 2),
        "steps": training.index,
        **{key: found[-1][key] for key in ("iou", "away")},
        "curve": found,
    }


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _rounded(figures: dict[str, Any]) -> dict[str, float]:
    return {key: round(value, 6) for key, value in figures.items() if isinstance(value, float)}


def compared(first: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """When the other was as good as the first at its best."""
    best = {"iou": max(at["iou"] for at in first["curve"]), "away": min(at["away"] for at in first["curve"])}
    return {
        "fewer_parameters": other["parameters"] < first["parameters"],
        "as_good_iou_seconds": _since(other, lambda at: at["iou"] >= best["iou"]),
        "as_good_away_seconds": _since(other, lambda at: at["away"] <= best["away"]),
    }


def _since(row: dict[str, Any], good: Any) -> float | None:
    return next((at["seconds"] for at in row["curve"] if good(at)), None)


def sampled(signal: Signal) -> SampledSurface:
    """What is learnt of a surface, and how it is judged."""
    if isinstance(signal, SampledSurface):
        return signal
    if isinstance(signal, SurfaceSignal):
        return signal.sampled()
    raise BadInput.of(signal.facts.path, wanted="a surface", found=f"a {signal.facts.kind}", remedy="give a mesh")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", help="a mesh, or .npz")
    parser.add_argument("--write", type=Path, help="compute what is learnt of the mesh, and stop")
    parser.add_argument("--between", nargs="+", default=["hash_grid:log2_table=17", "rbf:log2_table=16"],
                        help="representations, as NAME or NAME:key=value,...")  # fmt: skip
    parser.add_argument(
        "--seconds", nargs="+", type=float, default=[5.0, 14.0], help="of training, one for all or each its own"
    )
    parser.add_argument("--points", type=int, default=2**16, help="a step")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    parser.add_argument("--keep", metavar="ROW", help="the result's name among those that are kept")
    parser.add_argument("--output", type=Path, help="where to write the result as JSON")
    options = parser.parse_args()
    surface = sampled(open_signal(options.file, kind="surface"))
    if options.write is not None:
        write_distances(options.write, surface)
        return
    seconds = options.seconds * (len(options.between) if len(options.seconds) == 1 else 1)
    rows, surface = [], surface.to(device_of(options.device))
    for text, limit in zip(options.between, seconds, strict=True):
        rows.append(curve(surface, text, limit, options))
        rows[-1] |= compared(rows[0], rows[-1]) if len(rows) > 1 else {}
        print({key: value for key, value in rows[-1].items() if key != "curve"}, flush=True)
    result = {
        "file": Path(options.file).name,
        "points": options.points,
        "device": device_name(device_of(options.device)),
        "rows": rows,
    }
    if options.keep:
        record.keep("surface_fit", options.keep, result)
    if options.output is not None:
        record.write(options.output, result)


if __name__ == "__main__":
    main()
