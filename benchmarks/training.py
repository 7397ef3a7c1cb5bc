"""Trains on a GPU and judges on held-out views: ``python -m benchmarks.training NAME ...``; without names, all rows.

``--kernels gsplat`` trains with a peer's kernels under the same schedule, as ``SCENEKIT_KERNELS`` does, and says so in
the row's name.

A row is a command line of ``scenekit train``. Training seconds are those it counts: from the first step to the last
one's numbers; decoding photographs, compiling kernels and building the scene come before. PSNR and SSIM are means over
the held-out views, 8-bit sRGB, rendered on the same GPU; a frame is timed from cameras in the world to colours on the
GPU, nothing queued: at the photographs' size and at 1920x1080.
``results/training.json`` holds what was found, with the machine.
"""

from __future__ import annotations

import argparse
import gc
import os
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks import record
from scenekit.cli.options import parse, preset_arguments, take
from scenekit.cli.train import options_type
from scenekit.data import Capture, open_capture
from scenekit.kernels import choice
from scenekit.recipes import Session, prepare
from scenekit.recipes.device import device_name
from scenekit.training.evaluate import scores
from scenekit.training.steps import steps

RESULTS = "training"
WARM_UP = 20  # steps of a training before, so that kernels are found compiled
FIELDS = ("simplex_grid", "rbf", "triplane", "low_rank", "dense_grid", "mlp")
PATIENCE = 3.0  # seconds of frames after which no more come
LEGO = ("lego", "--preset", "gpu")
ROWS: dict[str, tuple[str, ...]] = {
    "hash_grid lego 2 s": (*LEGO, "-r", "hash_grid", "--minutes", f"{2 / 60}"),
    "hash_grid lego 5 s": (*LEGO, "-r", "hash_grid", "--minutes", f"{5 / 60}"),
    "hash_grid lego 20 s": (*LEGO, "-r", "hash_grid", "--minutes", f"{20 / 60}"),
    "hash_grid lego 60 s": (*LEGO, "-r", "hash_grid", "--minutes", "1"),
    "hash_grid fox 3 s": ("fox", "--preset", "gpu", "-r", "hash_grid", "--minutes", f"{3 / 60}"),
    "gaussians lego 10k": (*LEGO, "-r", "gaussians", "--steps", "10000"),
    "gaussians lego 30k": (*LEGO, "-r", "gaussians", "--steps", "30000"),
    **{f"{name} lego 60 s": (*LEGO, "-r", name, "--minutes", "1") for name in FIELDS},
}
CAPTURES: dict[tuple[str, float], Capture] = {}


def trained(arguments: Sequence[str], cache: Path | None = None) -> tuple[Session, dict[str, Any]]:
    """Train with the arguments of ``scenekit train``; the session, and figures of it."""
    name, rest = take(list(arguments), ("-r", "--representation"), "gaussians")
    preset, rest = take(rest, ("--preset",), None)
    options = parse(options_type(str(name)), "train", [*preset_arguments(preset, str(name)), *rest])
    capture = _capture(options.general.capture, options.general.downscale)
    began = time.perf_counter()
    session = prepare(
        capture, options.representation, options.fitting, options.family, options.supervision, cache=cache
    )
    prepared = time.perf_counter() - began
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    began, first, last = time.perf_counter(), 0.0, None
    for step in steps(session.training):
        first = first or time.perf_counter() - began
        last = step
    torch.cuda.synchronize()
    wall = time.perf_counter() - began
    session.finish()
    assert last is not None
    return session, {
        "steps": session.training.index,
        "seconds": round(session.training.seconds, 3),
        "wall_seconds": round(wall, 3),
        "preparation_seconds": round(prepared, 3),
        "first_step_seconds": round(first, 3),
        "ms_per_step": round(1000 * wall / session.training.index, 4),
        "train_psnr": round(last.psnr, 2),
        "parameters": learnt(session),
        "bytes": sum(t.numel() * t.element_size() for t in session.scene.renderer.state_dict().values()),
        last.unit: last.work,
        "peak_gib": round(torch.cuda.max_memory_allocated() / 2**30, 3),
    }


def learnt(session: Session) -> int:
    """How many numbers the scene has learnt."""
    groups = session.scene.renderer.parameter_groups()
    return sum(parameter.numel() for group in groups for parameter in group.parameters.values())


def judged(session: Session) -> dict[str, Any]:
    """Held-out PSNR and SSIM, and milliseconds a frame."""
    capture, scene = session.capture, session.scene
    chosen = list(capture.test)
    images, names = [capture.images[i] for i in chosen], [capture.names[i] for i in chosen]
    views = list(scores(scene, capture.cameras[chosen], images, names))
    return {
        "psnr": round(sum(view.psnr for view in views) / len(views), 3),
        "ssim": round(sum(view.ssim for view in views) / len(views), 4),
        "views": len(views),
        "frame_ms": round(frame_ms(session), 3),
        "frame_size": list(capture.cameras.sizes[chosen[0]]),
        "frame_1080p_ms": round(frame_ms(session, (1920, 1080)), 3),
        "device": device_name(scene.device),
    }


def frame_ms(session: Session, size: tuple[int, int] | None = None, repetitions: int = 20) -> float:
    """Median time of a held-out view, at another size if one is given; of fewer where they are slow."""
    scene, capture = session.scene, session.capture
    camera = capture.cameras[capture.test[0]]
    camera = camera if size is None else camera.resized([size])
    found = []
    while len(found) < repetitions + 3 and (len(found) < 5 or sum(found) < 1000 * PATIENCE):
        torch.cuda.synchronize()
        began = time.perf_counter()
        scene.render(camera)
        torch.cuda.synchronize()
        found.append(1000 * (time.perf_counter() - began))
    return statistics.median(found[3:])


def _capture(name: str, downscale: float) -> Capture:
    """From the folder of captures; opened once."""
    key = name, downscale
    if key not in CAPTURES:
        path = Path(name) if Path(name).exists() else record.data() / name
        CAPTURES[key] = open_capture(path, downscale=downscale)
    return CAPTURES[key]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="rows to run: " + "; ".join(ROWS))
    parser.add_argument("--points", type=Path, help="folder of triangulated points")
    parser.add_argument("--kernels", default="", help="libraries whose kernels are preferred to ours")
    options = parser.parse_args()
    os.environ[choice.VARIABLE] = options.kernels or os.environ.get(choice.VARIABLE, "")
    serving = ", ".join(choice.asked())
    if not torch.cuda.is_available():
        raise SystemExit("training: wanted an NVIDIA GPU and a torch built for it, found none")
    for name in options.names or ROWS:
        trained((*ROWS[name], "--steps", str(WARM_UP)), options.points)
        gc.collect()  # what is left of it is no part of the row's memory
        session, figures = trained(ROWS[name], options.points)
        row = f"{name} by {serving}" if serving else name
        record.keep(RESULTS, row, {"arguments": " ".join(ROWS[name]), **figures, **judged(session)})
        del session
        gc.collect()
        torch.cuda.empty_cache()


if __name__ == "__main__":
    main()
