"""``scenekit view RUN|FILE...``: scenes in the browser."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

import tyro

from scenekit.cli.options import parse
from scenekit.core.checks import BadInput
from scenekit.data import open_recorded
from scenekit.live import Photographs, view
from scenekit.recipes import load
from scenekit.recipes.device import AUTO, device_of
from scenekit.renderers.scene import Scene


@dataclass(frozen=True)
class View:
    """What to show.

    Attributes:
        runs: folders that train wrote, or splat files; several are shown together, side by side, or in turns.
        port: on loopback; any free one for 0.
        device: where they are rendered: auto, cpu, cuda or cuda:NUMBER.
    """

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="RUN [RUN ...]")]
    port: int = 0
    device: str = AUTO


def run(arguments: list[str]) -> None:
    """Serve until interrupted."""
    options = parse(View, "view", arguments, "Scenes in the browser, on loopback, behind a token.")
    if not options.runs:
        raise BadInput(
            "scenekit view: wanted a run or a file, found none; give a folder that train wrote, or a splat file"
        )
    device = device_of(options.device)
    scenes = [load(folder).to(device) for folder in options.runs]
    names = [folder.name for folder in options.runs]
    view(*scenes, names=names, photographs=partial(_photographs, scenes[0]), port=options.port)


def _photographs(scene: Scene) -> Photographs:
    """Those that the scene was made of, where they still are."""
    source = scene.recipe.get("capture")
    if source is None:
        raise BadInput.of("error", wanted="a run that was trained on photographs", found="another scene",
                          remedy="name such a run first")  # fmt: skip
    capture = open_recorded(source)
    return Photographs(capture.cameras, capture.images, capture.names)
