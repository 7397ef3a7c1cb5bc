"""``scenekit export RUN|FILE OUT``: a scene as a file in the world's own frame, or as a page for browsers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

import tyro
from rich.console import Console
from rich.progress import Progress

from scenekit.assets.exporters import EXPORTERS, Source, export, exporter_of
from scenekit.assets.frames import Axis
from scenekit.assets.splats.files import read_splats
from scenekit.assets.web.page import check_page_target
from scenekit.cli.options import parse, say
from scenekit.core.checks import BadInput
from scenekit.distill.bake import Baking, bake
from scenekit.recipes.imported import scene_of_file
from scenekit.recipes.load import load_run
from scenekit.renderers.volume import VolumeRenderer

VERIFIED = ("psnr_lost", "psnr_between", "psnr_lost_by_part", "scope")


@dataclass(frozen=True)
class Export:
    """What to write, and how.

    Attributes:
        source: folder that train wrote, or a splat file.
        target: the file; its extension says which kind; a name without one is a folder, a page to host.
        up: axis of the file that is to point up (write --up=-y for one that points down); as in the world if not given.
        scale: units of the file in a unit of the world.
        verify: read the file back, render it at the run's cameras and say how much it lost.
        json: print one JSON object.
        bake: how a field is made ready for a page.
    """

    source: Annotated[Path, tyro.conf.Positional]
    target: Annotated[Path, tyro.conf.Positional]
    up: Axis | None = None
    scale: float = 1.0
    verify: bool = False
    json: bool = False
    bake: Baking = field(default_factory=Baking)


def run(arguments: list[str]) -> None:
    """Write the file, verify it if asked, and say what was done."""
    options = parse(Export, "export", arguments, f"A scene as a file: {', '.join(EXPORTERS)}.")
    exporter = exporter_of(options.target)  # refuses before anything is read
    if options.target.exists() and options.target.resolve() == options.source.resolve():
        raise BadInput.of(options.target, wanted="a file other than the one that is read", found="the same",
                          remedy="choose another name")  # fmt: skip
    source = open_source(options.source)
    if exporter.page:
        source = _baked(source, options)
    facts = export(source, options.target, up=options.up, scale=options.scale, verify=options.verify)
    if options.json:
        print(json.dumps(facts))
        return
    written = ", ".join(f"{key.replace('_', ' ')} {facts[key]}" for key in facts if key not in VERIFIED)
    say(f"wrote {written}")
    if options.verify:
        _print(facts)


def _baked(source: Source, options: Export) -> Source:
    """A field made ready for a page, with a bar; anything else as it is."""
    check_page_target(options.target)
    if not isinstance(source.scene.renderer, VolumeRenderer):
        return source
    with Progress(console=Console(stderr=True, quiet=options.json)) as bar:
        task = bar.add_task("baking", total=options.bake.steps)
        renderer = bake(source.scene, options.bake, lambda step: bar.update(task, completed=step.index + 1))
    return replace(source, scene=replace(source.scene, renderer=renderer))


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
