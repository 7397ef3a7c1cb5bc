"""``scenekit export RUN|FILE [edits] OUT``: a scene as a file in the world's own frame, or as a page for browsers."""

from __future__ import annotations

import json
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress

from scenekit.assets.edits import VERBS, edited, read_edits, stream_edits, streams
from scenekit.assets.edits.edit import Edit
from scenekit.assets.exporters import EXPORTERS, FOLDER, Source, export, exporter_of
from scenekit.assets.frames import Axis, file_from_world
from scenekit.assets.meshes import Meshing
from scenekit.assets.meshes.export import export_mesh
from scenekit.assets.meshes.files import SUFFIXES, check_mesh_target
from scenekit.assets.meshes.fusion import Box
from scenekit.assets.meshes.points import check_points_target, export_points
from scenekit.assets.splats.files import read_splats
from scenekit.assets.web import Shape
from scenekit.assets.web.beside import shape_of_file
from scenekit.assets.web.page import check_page_target
from scenekit.cli.options import parse, say, without
from scenekit.core.checks import BadInput
from scenekit.core.reports import Report
from scenekit.distill.bake import Baking, bake
from scenekit.recipes.device import AUTO, device_of
from scenekit.recipes.imported import scene_of_file
from scenekit.recipes.load import load_run
from scenekit.renderers.scene import Scene
from scenekit.renderers.splats import SplatRenderer
from scenekit.renderers.volume import VolumeRenderer
from scenekit.representations.gaussians import GaussianModel

VERIFIED = ("psnr_lost", "psnr_between", "psnr_lost_by_part", "scope")


@dataclass(frozen=True)
class Export:
    """What to write, and how.

    Attributes:
        source: folder that train wrote, or a splat file.
        target: the file; its extension says which kind; a name without one is a folder, a page to host.
        up: axis of the file that is to point up (write --up=-y for one that points down); as in the world if not given.
        scale: units of the file in a unit of the world.
        kind: splats, a mesh, or points on surfaces; where not given, what suits the scene and the file.
        against: a known surface in the file's frame, to compare a mesh with.
        meshing: how a mesh is made, or points, one for each cell of its grid.
        verify: read the file back, render it at the run's cameras and say how much it lost.
        allow_loss: dB that a .spz, .sog or .sogc may lose: its steps are made as coarse as pictures can bear.
        beside: other runs, splats, meshes and points (.ply) on the same page.
        device: where it is rendered, to make pages and meshes of and to verify: auto, cpu, cuda or cuda:NUMBER.
        json: print one JSON object.
        bake: how a field is made ready for a page.
    """

    source: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN|FILE")]
    target: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="OUT")]
    up: Axis | None = None
    scale: float = 1.0
    kind: Annotated[Literal["splats", "mesh", "points"] | None, tyro.conf.arg(name="as")] = None
    against: Path | None = None
    meshing: Annotated[Meshing, tyro.conf.arg(name="")] = field(default_factory=Meshing)
    verify: bool = False
    allow_loss: float | None = None
    beside: tuple[Path, ...] = ()
    device: str = AUTO
    json: bool = False
    bake: Baking = field(default_factory=Baking)


def run(arguments: list[str]) -> None:
    """Edit, write the file, verify it if asked, and say what was done."""
    edits, rest = read_edits(arguments)
    names = f"{', '.join(name for name in EXPORTERS if name != FOLDER)}, a folder, and meshes as {', '.join(SUFFIXES)}"
    verbs = f"Edits, in the order given: {', '.join(VERBS)}."
    brief = without(Export, "meshing", "bake")
    options = parse(Export, "export", rest, f"A scene as a file: {names}. {verbs}", brief=brief)
    _check(options)
    facts = _written(options, edits)
    if options.json:
        print(json.dumps(facts))
        return
    written = ", ".join(f"{key.replace('_', ' ')} {facts[key]}" for key in facts if key not in (*VERIFIED, "file"))
    say(f"wrote {facts['file']}: {written}")
    if options.verify:
        _print(facts)


def _for_page(source: Source, options: Export) -> Source:
    """Fields baked, and what stands beside the scene."""
    check_page_target(options.target)
    others: dict[str, Scene | Shape] = {}
    for path in options.beside:
        taken = {options.source.stem, *others}
        name = next((name for name in (path.stem, path.name) if name not in taken), str(path))
        shape = shape_of_file(path) if path.is_file() else None
        others[name] = (
            _baked(open_source(path).scene.to(source.scene.device), options, name)
            if shape is None
            else replace(shape, name=name)
        )
    scene = _baked(source.scene, options, options.source.stem)
    name = options.source.stem if others else source.name
    return replace(source, scene=scene, name=name, beside=others)


def _baked(scene: Scene, options: Export, name: str) -> Scene:
    """A field made ready for a page, with a bar; anything else as it is."""
    if not isinstance(scene.renderer, VolumeRenderer):
        return scene
    with Progress(console=Console(stderr=True, quiet=options.json)) as bar:
        task = bar.add_task(f"baking {escape(name)}", total=options.bake.steps)
        renderer = bake(scene, options.bake, lambda step: bar.update(task, completed=step.index + 1))
    return replace(scene, renderer=renderer)


def _check(options: Export) -> None:
    """Refuse before anything is read."""
    target, page = options.target, False
    if options.kind == "points":
        check_points_target(target)
    elif options.kind == "mesh" or target.suffix.lower() == ".obj":
        check_mesh_target(target, texture=options.meshing.texture > 0)
    else:
        page = exporter_of(target).page
    for flag, wanted in _unfit(options, page=page):
        raise BadInput.of(flag, wanted=wanted, found=f"'{target.name}'", remedy="leave it out for this kind of file")
    if target.exists() and target.resolve() == options.source.resolve():
        raise BadInput.of(target, wanted="a file other than the one that is read", found="the same",
                          remedy="choose another name")  # fmt: skip


def _unfit(options: Export, *, page: bool) -> list[tuple[str, str]]:
    """Flags that were given and mean nothing for such a file, and what each wants; a field is baked for minutes."""
    if not page:
        return [("--beside", "a page (.html, or a folder)")] if options.beside else []
    flags = [
        ("--verify", options.verify, "a file of splats"),
        ("--allow-loss", options.allow_loss is not None, "a .spz, .sog or .sogc"),
        ("--up", options.up is not None, "a file, for a page turns itself upright"),
        ("--scale", options.scale != 1, "a file, for a page has the units of the world"),
        ("--against", options.against is not None, "a mesh"),
    ]
    return [(flag, wanted) for flag, given, wanted in flags if given]


def _written(options: Export, edits: Sequence[Edit]) -> dict[str, Any]:
    judged = options.verify or options.allow_loss is not None
    as_it_stands = options.up is None and options.scale == 1 and not judged and options.against is None
    if edits and as_it_stands and options.kind in (None, "splats") and streams(options.source, options.target, edits):
        return stream_edits(options.source, options.target, edits)
    device = device_of(options.device)
    source = open_source(options.source)
    source.scene.to(device)
    kind = _kind(options, source)
    if options.against is not None and kind != "mesh":
        raise BadInput.of("--against", wanted="a mesh", found=kind, remedy="leave it out, or write --as mesh")
    if kind == "splats":
        before = {"gaussians_before_edits": _gaussians(source)} if edits else {}
        source = edited(source, edits)
        if exporter_of(options.target).page:
            source = _for_page(source, options)
        with _reporting(kind, options.json or options.allow_loss is None) as report:
            facts = export(
                source,
                options.target,
                up=options.up,
                scale=options.scale,
                verify=options.verify,
                allow_loss=options.allow_loss,
                report=report,
            )
        return facts | before
    if judged:
        raise BadInput.of("--verify" if options.verify else "--allow-loss", wanted="a file of splats", found=kind,
                          remedy="compare a mesh with --against FILE")  # fmt: skip
    splats = isinstance(source.scene.renderer, SplatRenderer)
    box = None if splats else _only_box(edits)
    scene = edited(source, edits).scene if splats else source.scene
    frame = file_from_world(scene.cameras, options.up, options.scale)
    with _reporting(kind, options.json) as report:
        if kind == "points":
            return export_points(scene, options.target, options.meshing, file_from_world=frame, box=box, report=report)
        against = options.against
        return export_mesh(
            scene, options.target, options.meshing, file_from_world=frame, box=box, against=against, report=report
        )


@contextmanager
def _reporting(kind: str, hidden: bool) -> Generator[Report]:
    """A bar that says what is done now."""
    with Progress(console=Console(stderr=True, quiet=hidden)) as bar:
        task = bar.add_task(kind, total=1)

        def report(what: str, done: int, parts: int) -> None:
            bar.update(task, description=f"{kind}: {what}", completed=done, total=parts)

        yield report
        bar.update(task, description=kind, completed=1, total=1)


def _gaussians(source: Source) -> int:
    """How many there are; 0 where a scene is made of something else, which no edit of theirs takes."""
    renderer = source.scene.renderer
    model = renderer.primitives if isinstance(renderer, SplatRenderer) else None
    return len(model) if isinstance(model, GaussianModel) else 0


def _kind(options: Export, source: Source) -> Literal["splats", "mesh", "points"]:
    """What was asked for; else what a file of that name can hold of such a scene."""
    suffix = options.target.suffix.lower()
    field_as_file = suffix in SUFFIXES and not isinstance(source.scene.renderer, SplatRenderer)
    if options.kind != "points" and suffix == ".obj":
        return "mesh"
    return options.kind or ("mesh" if field_as_file else "splats")


def _only_box(edits: Sequence[Edit]) -> Box | None:
    """The box that a field is cropped to; raises BadInput for edits that only Gaussians can take."""
    if not edits:
        return None
    if len(edits) > 1 or edits[0].box is None:
        raise BadInput.of(edits[-1].text, wanted="one --crop box:..., for a field", found="another edit",
                          remedy="edit Gaussians, or the mesh itself")  # fmt: skip
    return Box(*edits[0].box)


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
