"""``scenekit view RUN|FILE...``: scenes in the browser."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from scenekit.cli.options import parse
from scenekit.live import view
from scenekit.recipes import load


@dataclass(frozen=True)
class View:
    """What to show.

    Attributes:
        runs: folders that train wrote, or splat files; several are shown one at a time, by name.
        port: on loopback; any free one for 0.
    """

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="RUN [RUN ...]")]
    port: int = 0


def run(arguments: list[str]) -> None:
    """Serve until interrupted."""
    options = parse(View, "view", arguments, "Scenes in the browser, on loopback, behind a token.")
    scenes = [load(folder) for folder in options.runs]
    view(*scenes, names=[folder.name for folder in options.runs], port=options.port)
