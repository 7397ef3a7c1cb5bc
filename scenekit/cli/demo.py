"""``scenekit demo``: the whole loop on the embedded capture, on a CPU, without a download."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import torch
import tyro
from PIL import Image

from scenekit.assets.atomic import replacing
from scenekit.assets.lock import holding
from scenekit.assets.run import write_recipe
from scenekit.cli import convert
from scenekit.cli.options import parse, preset_arguments, say
from scenekit.cli.train import free_folder, options_type, train_session
from scenekit.data import Capture, open_capture
from scenekit.data.memory import memory_in_reach
from scenekit.recipes import load, prepare, prepare_conversion
from scenekit.recipes.device import device_name, device_of
from scenekit.recipes.memory import Plan, training_plan
from scenekit.training.evaluate import Score, over_white, scores

CAPTURE = "synthetic"
REPRESENTATIONS_SHOWN = ("gaussians", "hash_grid")
CONVERTED = ("hash_grid", "gaussians")  # from, to
MINUTES = 0.5  # of training each
SHARE = 0.4  # of these that the conversion gets


@dataclass(frozen=True)
class Demo:
    """Where it goes, and for how long.

    Attributes:
        output: folder for the two runs and the picture; runs/demo where not given.
        minutes: of training for each representation.
    """

    output: Annotated[Path | None, tyro.conf.arg(aliases=["-o"])] = None
    minutes: float = MINUTES


def run(arguments: list[str]) -> None:
    """Render the capture, train two representations, judge them, and convert one into the other."""
    description = "Train two representations of an embedded capture, compare them, and convert one into the other."
    options = parse(Demo, "demo", arguments, description)
    folder = options.output or free_folder("demo")
    with holding(folder):
        _shown(folder, options)


def plan() -> Plan:
    """What it takes of main memory on a CPU: what the larger of its two trainings does."""
    capture, limit = open_capture(CAPTURE), float(memory_in_reach())
    trainings = (parse(options_type(name), "demo", preset_arguments("demo", name)) for name in REPRESENTATIONS_SHOWN)
    plans = [training_plan(capture, options.representation, options.family, limit) for options in trainings]
    return max(plans, key=lambda each: each.total)


def _shown(folder: Path, options: Demo) -> None:
    started = time.perf_counter()
    capture = open_capture(CAPTURE)
    say(f"rendered {len(capture)} photographs of the synthetic capture in {time.perf_counter() - started:.1f} s")
    results = {name: _trained(name, capture, folder / name, options.minutes) for name in REPRESENTATIONS_SHOWN}
    device = device_name(device_of())
    for name, views in results.items():
        mean = sum(view.psnr for view in views) / len(views)
        print(f"{name:10} {mean:6.2f} dB held-out PSNR ({len(views)} views at 128x128, white background, {device})")
    picture = folder / "side-by-side.png"
    _side_by_side(capture, results, picture)
    say(f"photograph | {' | '.join(results)}: {picture}")
    converted = _converted(capture, folder, SHARE * options.minutes)
    say(f"done in {time.perf_counter() - started:.0f} s; look at all of them in the browser:")
    print(f"scenekit view {' '.join(str(folder / name) for name in (*results, converted))}")


def _converted(capture: Capture, folder: Path, minutes: float) -> str:
    """One scene becomes the other without photographs; prints what was lost and returns the name of its run."""
    source, target = CONVERTED
    name = f"{target}-from-{source}"
    flags = [*preset_arguments("demo", target, ()), "--minutes", str(minutes), "--no-photographs"]
    teacher = load(folder / source)
    options = parse(convert.options_type(target, dict(teacher.recipe)), "demo", flags)
    say(f"converting {source} to {target}")
    conversion = prepare_conversion(
        teacher, options.representation, options.converting, options.family, distilling=options.distilling,
        run=str((folder / source).resolve()),
    )  # fmt: skip
    write_recipe(folder / name, conversion.scene.recipe)
    convert.print_report(convert.convert_session(conversion, folder / name, capture), folder / name)
    return name


def _trained(name: str, capture: Capture, folder: Path, minutes: float) -> list[Score]:
    options = parse(options_type(name), "demo", [*preset_arguments("demo", name), "--minutes", str(minutes)])
    session = prepare(capture, options.representation, options.fitting, options.family)
    write_recipe(folder, session.scene.recipe)
    say(f"training {name}")
    train_session(session, folder)
    images = [capture.images[i] for i in capture.test]
    return list(scores(session.scene, capture.cameras[capture.test], images, [capture.names[i] for i in capture.test]))


def _side_by_side(capture: Capture, results: dict[str, list[Score]], file: Path) -> None:
    """A row for each held-out view: the photograph over white, then every representation."""
    rows = [
        torch.cat([over_white(capture.images[index]), *(views[row].rendered for views in results.values())], 1)
        for row, index in enumerate(capture.test)
    ]
    with replacing(file) as temporary, temporary.open("wb") as stream:
        Image.fromarray(torch.cat(rows).numpy()).save(stream, format="PNG")
