"""``scenekit process PHOTOS|VIDEO -o CAPTURE``: camera poses for photographs that have none."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from scenekit.cli.options import merged, parse, say
from scenekit.core.checks import BadInput
from scenekit.data.registration.settings import Settings
from scenekit.data.registration.upright import Distance
from scenekit.recipes.process import Inputs, Report, begun_of, capture_folder, lacks_poses, process

NAMED = 5  # photographs without a place that are named; process.json names all


@dataclass(frozen=True)
class General:
    """What to process and where to put it.

    Attributes:
        source: folder of photographs, or a video.
        output: folder of the capture; begun work in it goes on.
        frames: how many to take at most of a video, the sharpest of each stretch.
        masks: folder of images named like the photographs; black parts count for nothing.
        distance: two photographs and the metres between the places they were taken from, to scale the scene.
        partial: keep the largest group even where it holds less than half of the photographs, or another as many.
        json: print one JSON object with what was found, and no bar.
    """

    source: Annotated[Path | None, tyro.conf.Positional, tyro.conf.arg(metavar="PHOTOS|VIDEO")] = None
    output: Annotated[Path | None, tyro.conf.arg(aliases=["-o"])] = None
    frames: int = 150
    masks: Path | None = None
    distance: tuple[str, str, float] | None = None
    partial: bool = False
    json: bool = False


def run(arguments: list[str]) -> None:
    """Process, or go on where a killed process stopped."""
    kind = merged("Process", ("general", General, False), ("settings", Settings, False))
    options = parse(kind, "process", arguments, "Camera poses for photographs or a video, through COLMAP.")
    general: General = options.general
    if general.source is None or general.output is None:
        raise BadInput("scenekit process: wanted PHOTOS|VIDEO and -o CAPTURE, found not both; name them")
    if general.frames < 2 or options.settings.tries < 1 or options.settings.features < 100:
        raise BadInput(
            "scenekit process: wanted --frames from 2, --tries from 1 and --features from 100, found "
            f"{general.frames}, {options.settings.tries} and {options.settings.features}; raise them"
        )
    distance = None if general.distance is None else Distance(*general.distance)
    inputs = Inputs(general.source, general.frames, general.masks, distance, general.partial)
    try:
        with progress_bar(quiet=general.json) as report:
            figures = process(inputs, general.output, options.settings, report)
    except KeyboardInterrupt:
        say("interrupted; the same command goes on where it stopped")
        raise
    if general.json:
        print(json.dumps(figures))
        return
    tell(figures)
    say(f"next: scenekit train {general.output}")


def with_poses(capture: str, *, quiet: bool) -> str:
    """The capture to train on: the one that was given, or one made of it where it is photographs alone.

    Raises BadInput for one that was begun and not ended: its photographs are some other folder's.
    """
    source = Path(capture)
    if not source.exists() or not lacks_poses(source):
        return capture
    begun = begun_of(source)
    if begun is not None:
        raise BadInput.of(source, wanted="a capture with camera poses", found="one that was begun and not ended",
                          remedy=f"end it with scenekit process {begun} -o {source}")  # fmt: skip
    output = capture_folder(source, Path("runs"))
    say(f"{capture} has no camera poses: estimating them into {output} first, as `scenekit process` does")
    with progress_bar(quiet=quiet) as report:
        tell(process(Inputs(source), output, Settings(), report))
    return str(output)


def tell(figures: dict[str, Any]) -> None:
    """What was found, for the person at the terminal."""
    up = "gravity as the camera felt it" if figures["up_from"] == "gravity" else "the way the cameras were held"
    scale = "in metres" if figures["scale_from"] else "of unknown scale (--distance gives one)"
    say(
        f"{figures['registered']} of {figures['images']} photographs placed, {figures['points']} points, "
        f"{figures['reprojection_pixels']} pixels mean error; up from {up}, {scale}; {figures['seconds']} s"
    )
    missing = list(figures["unregistered"].items())
    for name, why in missing[:NAMED]:
        say(f"  {name} has no place: {why}")
    if len(missing) > NAMED:
        say(f"  and {len(missing) - NAMED} more, listed with the reasons in {figures['capture']}/process.json")
    for note in figures["notes"]:
        say(note)


@contextmanager
def progress_bar(*, quiet: bool) -> Iterator[Report]:
    """A bar on standard error for each stage in turn; yields what to report to."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    bar = Progress(*columns, console=Console(stderr=True, quiet=quiet))
    tasks: dict[str, TaskID] = {}

    def report(stage: str, done: int, total: int) -> None:
        if not tasks:  # a bar without a stage would leave an empty line before a refusal
            bar.start()
        if stage not in tasks:
            tasks[stage] = bar.add_task(stage, total=total or None)
        bar.update(tasks[stage], completed=done, total=total or None)

    try:
        yield report
    finally:
        if tasks:
            bar.stop()
