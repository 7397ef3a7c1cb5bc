"""What a page makes of a field: bakes it, writes the page and judges it by its twin, the renderer that pages follow.

    SCENEKIT_DATA=/folder/of/captures python -m benchmarks.baking [ROW ...] [--run RUN] [--views 8] [--bake.steps N ...]

Each row trains a field as ``scenekit train`` would, or takes the one of ``--run``, and bakes it as ``scenekit export``
would, whose ``--bake`` flags are taken; rows ``...-gpu`` need one. Decibels are means over ``--views`` held-out views,
evenly spread, 8-bit sRGB: of the field and of its twin against the photographs, whose difference is what baking lost
(``psnr_lost``), and of the twin against the field's own pictures. Megabytes are those of the whole page as a folder.
Results go to ``benchmarks/results/baking.json``, and to the tables by ``python -m benchmarks.tables``; ``--pictures``
keeps photograph, field and twin side by side.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from statistics import fmean
from typing import Annotated, Any

import torch
import tyro
from PIL import Image

from benchmarks.record import call, data, keep
from scenekit.assets.web import export_web
from scenekit.cli.evaluate import scope_of
from scenekit.data import Capture, open_recorded
from scenekit.distill.bake import Baking, bake
from scenekit.recipes import load
from scenekit.recipes.device import AUTO, device_name, device_of
from scenekit.renderers.scene import Scene
from scenekit.training.evaluate import Score, over_white, psnr, scores
from scenekit.training.steps import Step

RESULTS = "baking"
MEGABYTE = 1e6
SHARP = ("--preset", "blender", "--downscale", "1", "--finest", "1024", "--log2-table", "18", "--marching.steps", "512")
ROWS: dict[str, tuple[str, tuple[str, ...]]] = {
    "lego": ("lego", ("hash_grid", *SHARP, "--steps", "2300", "--minutes", "600")),
    "bonsai": ("bonsai", ("hash_grid", "--preset", "unbounded", "--steps", "600", "--minutes", "600")),
    "lego-gpu": ("lego", ("hash_grid", "--preset", "gpu")),
}


@dataclass(frozen=True)
class Options:
    """What to measure.

    Attributes:
        rows: of the table; all that this machine serves where none is named.
        run: a field that was trained before, for the one row that is named.
        views: held-out ones that are judged.
        pictures: a folder for photograph, field and twin side by side.
        device: auto, cpu, cuda or cuda:NUMBER.
        bake: how fields are baked.
    """

    rows: Annotated[tuple[str, ...], tyro.conf.Positional] = ()
    run: Path | None = None
    views: int = 8
    pictures: Path | None = None
    device: str = AUTO
    bake: Baking = field(default_factory=Baking)


def main(options: Options) -> None:
    served = [row for row in ROWS if torch.cuda.is_available() or not row.endswith("-gpu")]
    for row in options.rows or served:
        capture, flags = ROWS[row]
        with tempfile.TemporaryDirectory() as folder:
            run = options.run or train(capture, flags, Path(folder))
            keep(RESULTS, row, measure(run, options))


def train(capture: str, flags: Sequence[str], folder: Path) -> Path:
    """A field of the row's own."""
    path = capture if capture == "synthetic" else str(data() / capture)
    call("train", path, "-r", *flags, "-o", str(folder / "run"), "--json")
    return folder / "run"


def measure(run: Path, options: Options) -> dict[str, Any]:
    """Bake a run's field and judge it beside the field."""
    scene = load(run).to(device_of(options.device))
    capture = open_recorded(scene.recipe["capture"])
    held_out = _spread(capture.test, options.views)
    baked, figures = _baked(scene, options.bake)
    taught, seen = _scores(scene, capture, held_out), _scores(baked, capture, held_out)
    if options.pictures is not None:
        _keep_pictures(options.pictures, capture, held_out, taught, seen)
    return (
        figures
        | _judged(taught, seen)
        | {
            "scope": scope_of(capture, "test", len(held_out), device_name(scene.device)),
            "load": round(os.getloadavg()[0], 1),
        }
    )


def _baked(scene: Scene, baking: Baking) -> tuple[Scene, dict[str, Any]]:
    """The scene with its field baked, and what that and the page took."""
    began, last = time.perf_counter(), 0.0

    def note(step: Step) -> None:
        nonlocal last
        last = step.seconds

    renderer = bake(scene, baking, note)
    seconds = time.perf_counter() - began
    baked = replace(scene, renderer=renderer)
    with tempfile.TemporaryDirectory() as folder:
        size = export_web(baked, Path(folder) / "page")
    return baked, {
        "baking": asdict(replace(baking, resolution=renderer.field.blocks.resolution)),
        "seconds": round(seconds, 1),
        "seconds_of_distillation": round(last, 1),
        "blocks": len(renderer.field.blocks),
        "page_megabytes": round(size / MEGABYTE, 2),
    }


def _judged(taught: Sequence[Score], seen: Sequence[Score]) -> dict[str, float]:
    of_field, of_twin = _mean(taught), _mean(seen)
    own = fmean(psnr(b.rendered, a.rendered) for a, b in zip(taught, seen, strict=True))
    found = {"psnr_of_field": of_field, "psnr_of_twin": of_twin, "psnr_lost": of_field - of_twin}
    found |= {"psnr_against_field": own, "ssim_lost": fmean(a.ssim - b.ssim for a, b in zip(taught, seen, strict=True))}
    return {name: round(value, 4) for name, value in found.items()}


def _mean(some: Sequence[Score]) -> float:
    return fmean(score.psnr for score in some)


def _scores(scene: Scene, capture: Capture, chosen: Sequence[int]) -> list[Score]:
    images, names = [capture.images[i] for i in chosen], [capture.names[i] for i in chosen]
    return list(scores(scene, capture.cameras[list(chosen)], images, names))


def _spread(rows: Sequence[int], most: int) -> list[int]:
    """At most ``most`` of them, evenly."""
    count = min(most, len(rows))
    return [rows[i * len(rows) // count] for i in range(count)]


def _keep_pictures(
    folder: Path, capture: Capture, chosen: Sequence[int], taught: Sequence[Score], seen: Sequence[Score]
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for index, a, b in zip(chosen, taught, seen, strict=True):
        both = torch.cat([over_white(capture.images[index]), a.rendered, b.rendered], 1)
        Image.fromarray(both.numpy()).save(folder / f"{Path(a.name).stem}.png")


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
