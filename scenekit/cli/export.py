"""``scenekit export RUN|FILE OUT.ext``: a scene as a file, in the world's own frame."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from scenekit.assets.exporters import EXPORTERS, Source, export, exporter_of
from scenekit.assets.frames import Axis
from scenekit.assets.splats.files import read_splats
from scenekit.cli.options import parse, say
from scenekit.core.checks import BadInput
from scenekit.recipes.imported import scene_of_file
from scenekit.recipes.load import load_run

VERIFIED = ("psnr_lost", "psnr_between", "psnr_lost_by_part", "scope")


@dataclass(frozen=True)
class Export:
    """What to write, and how.

    Attributes:
        source: folder that train wrote, or a splat file.
        target: the file; its extension says which kind.
        up: axis of the file that is to point up (write --up=-y for one that points down); as in the world if not given.
        scale: units of the file in a unit of the world.
        verify: read the file back, render it at the run's cameras and say how much it lost.
        json: print one JSON object.
    """

    source: Annotated[Path, tyro.conf.Positional]
    target: Annotated[Path, tyro.conf.Positional]
    up: Axis | None = None
    scale: float = 1.0
    verify: bool = False
    json: bool = False


def run(arguments: list[str]) -> None:
    """Write the file, verify it if asked, and say what was done."""
    options = parse(Export, "export", arguments, f"A scene as a file: {', '.join(EXPORTERS)}.")
    exporter_of(options.target)  # refuses before anything is read
    if options.target.exists() and options.target.resolve() == options.source.resolve():
        raise BadInput.of(options.target, wanted="a file other than the one that is read", found="the same",
                          remedy="choose another name")  # fmt: skip
    source = open_source(options.source)
    facts = export(source, options.target, up=options.up, scale=options.scale, verify=options.verify)
    if options.json:
        print(json.dumps(facts))
        return
    written = ", ".join(f"{key.replace('_', ' ')} {facts[key]}" for key in facts if key not in VERIFIED)
    say(f"wrote {written}")
    if options.verify:
        _print(facts)


def open_source(path: Path) -> Source:
    """A run, or a splat file with its Gaussians as they stand in it; raises BadInput."""
    if not path.is_file():
        return Source(load_run(path))
    file = read_splats(path)
    for note in file.notes:
        say(note)
    return Source(scene_of_file(file), file.cloud)


def _print(facts: Mapping[str, Any]) -> None:
    between = facts["psnr_between"]
    pictures = "the same pictures" if between is None else f"{between} dB between pictures"
    print(f"{'lost in all':24} {facts['psnr_lost']:8.4f} dB   ({pictures})")
    for name, lost in facts["psnr_lost_by_part"].items():
        print(f"  {name:22} {lost:8.4f} dB")
    say(f"scope: {facts['scope']}")
