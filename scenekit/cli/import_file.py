"""``scenekit import FILE -o RUN``: a file from elsewhere becomes a run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from scenekit.assets.frames import Axis
from scenekit.assets.lock import holding
from scenekit.assets.run import require_new, write_recipe, write_scene
from scenekit.assets.splats.files import read_splats
from scenekit.cli.options import parse, say
from scenekit.recipes.imported import scene_of_file


@dataclass(frozen=True)
class Import:
    """What to take in.

    Attributes:
        file: splats, of any format that ``scenekit info`` knows.
        output: folder for the run.
        up: axis of the file that points up (write --up=-y for one that points down); cameras are put around it.
    """

    file: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="FILE")]
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])]
    up: Axis = "-y"


def run(arguments: list[str]) -> None:
    """Read the file and write the run."""
    options = parse(Import, "import", arguments, "A file from elsewhere becomes a run.")
    with holding(options.output):
        require_new(options.output)
        file = read_splats(options.file)
        for note in file.notes:
            say(note)
        scene = scene_of_file(file, options.up)
        write_scene(options.output, scene)
        write_recipe(options.output, scene.recipe)
    say(f"imported {len(file.cloud)} Gaussians into {options.output}; next: scenekit view {options.output}")
