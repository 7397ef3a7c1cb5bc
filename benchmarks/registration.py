"""From photographs without poses to a scene: how many find their place, how well, and how long the whole takes.

    SCENEKIT_DATA=/folder/of/captures python -m benchmarks.registration [sceaux_castle|fox ...] [--steps 1000]
        [--downscale 4] [--folder FOLDER]

``scenekit process`` on the photographs alone, then Gaussians trained on the capture that it made and judged on the
held-out photographs, as a user types it. ``chain_seconds`` are those of the three commands together, by the wall clock.
Where a capture has poses of its own (fox) the same is trained on those too, and the places found are compared with
them: ``centre_error_percent`` is the root mean square distance between a camera's two centres once a similarity has
laid one set over the other, in hundredths of the mean distance of the given centres from their middle. ``--folder``
keeps the captures made; begun work in it goes on, and its seconds are those of the call that finished it. Figures go to
``benchmarks/results/registration.json``.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.record import call, data, keep
from scenekit.core.transforms import Similarity
from scenekit.data import open_capture

CAPTURES = {"sceaux_castle": False, "fox": True}  # whether poses are given


def measure(name: str, folder: Path, steps: int, downscale: float) -> dict[str, Any]:
    """Process, train and judge one folder of photographs; compare with given poses where there are any."""
    load = os.getloadavg()[0]
    given, made = data() / name, folder / name
    placed = call("process", str(given / "images"), "-o", str(made), "--json")
    own = trained(made, steps, downscale)
    result = {
        "photographs": placed["images"],
        "placed": placed["registered"],
        "reprojection_pixels": placed["reprojection_pixels"],
        "process_seconds": placed["seconds"],
        "chain_seconds": round(placed["seconds"] + own["seconds"], 1),
        "psnr": own["psnr"],
        "views": own["views"],
        "scope": own["scope"],
        "steps": steps,
        "load": round(load, 1),
    }
    if CAPTURES[name]:
        result |= compared(made, given) | {"psnr_given_poses": trained(given, steps, downscale)["psnr"]}
    return result


def trained(capture: Path, steps: int, downscale: float) -> dict[str, Any]:
    """Gaussians of it, judged; the seconds of both commands."""
    with tempfile.TemporaryDirectory() as folder:
        run, began = str(Path(folder) / "run"), time.perf_counter()
        options = ["-r", "gaussians", "--steps", str(steps), "--downscale", str(downscale)]
        call("train", str(capture), *options, "-o", run, "--json")
        judged = call("evaluate", run, "--json")
        return {
            "psnr": round(judged["psnr"], 2),
            "views": [round(view["psnr"], 2) for view in judged["images"]],
            "scope": judged["scope"],
            "seconds": time.perf_counter() - began,
        }


def compared(made: Path, given: Path) -> dict[str, Any]:
    """How far the centres found are from the given ones."""
    found, wanted = centres(made), centres(given)
    return centre_errors([(found[name], wanted[name]) for name in sorted(found.keys() & wanted.keys())])


def centres(capture: Path) -> dict[str, Tensor]:
    """Of its cameras, by the name of the photograph without folder and extension."""
    opened = open_capture(capture, downscale=8)
    return {Path(name).stem: centre for name, centre in zip(opened.names, opened.cameras.centres, strict=True)}


def centre_errors(pairs: list[tuple[Tensor, Tensor]]) -> dict[str, Any]:
    """Of (found, given) centres after alignment, in hundredths of the given ones' mean distance from their middle."""
    found, given = (torch.stack(side) for side in zip(*pairs, strict=True))
    errors = (Similarity.between(found, given).points(found) - given).norm(dim=-1)
    percent = 100 * errors / (given - given.mean(0)).norm(dim=-1).mean()
    return {
        "compared": len(pairs),
        "centre_error_percent": round(float(percent.square().mean().sqrt()), 3),
        "largest_centre_error_percent": round(float(percent.max()), 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="From photographs without poses to a scene.")
    parser.add_argument("captures", nargs="*", choices=[[], *CAPTURES], default=[])
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--downscale", type=float, default=4)
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        for name in options.captures or CAPTURES:
            keep(
                "registration", name, measure(name, options.folder or Path(temporary), options.steps, options.downscale)
            )


if __name__ == "__main__":
    main()
