"""What leaves the tool: the exporters by file extension, each a way to write and, where it can, a way to verify."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from scenekit.assets import usd
from scenekit.assets.allowance import coarsest
from scenekit.assets.frames import Axis, file_from_world
from scenekit.assets.splats import CODECS
from scenekit.assets.splats.files import read_splats, write_splats, writer_of
from scenekit.assets.usd import read_usd, write_usd
from scenekit.assets.verify import Judge, Verification, verify
from scenekit.assets.web import Shape, export_web
from scenekit.assets.web.export import differs_by_direction
from scenekit.core.checks import BadInput
from scenekit.core.reports import Report, quiet
from scenekit.core.transforms import Similarity
from scenekit.renderers.scene import Scene
from scenekit.renderers.splats import SplatRenderer
from scenekit.representations.gaussian_cloud import GaussianCloud, cloud_of
from scenekit.representations.gaussians import GaussianModel


@dataclass(frozen=True)
class Source:
    """What is exported: a scene, and where it was read from a splat file or edited, its Gaussians as they stand.

    Attributes:
        scene: to render, to take cameras from, and to make other files of.
        gaussians: in ``world``, bit for bit as a file had them; None for a run.
        name: of the scene, in a page.
        beside: other scenes of the same world by name, and shapes, which a page shows as well.
    """

    scene: Scene
    gaussians: GaussianCloud | None = None
    name: str = "scene"
    beside: Mapping[str, Scene | Shape] = field(default_factory=dict)

    def cloud(self) -> GaussianCloud:
        """The Gaussians in ``world``; raises BadInput for a scene of another kind."""
        return world_cloud(self.scene) if self.gaussians is None else self.gaussians


@dataclass(frozen=True)
class Job:
    """A file to be written.

    Attributes:
        source: what of.
        target: where.
        frame: ``file_from_world``.
        up: axis of the file that points up, where the user asked for one.
        allowed: dB that a file with steps may lose, which are then as coarse as that allows; None for the
            usual ones.
        report: told how far the search for those is.
    """

    source: Source
    target: Path
    frame: Similarity
    up: Axis | None = None
    allowed: float | None = None
    report: Report = quiet

    @cached_property
    def judge(self) -> Judge:
        """Of what the file shows."""
        scene = self.source.scene
        return Judge(scene, scene.scene_from_world.after(self.frame.inverse()))


@dataclass(frozen=True)
class Written:
    """A file that was: plain facts about it, and the Gaussians it was made of in its own frame and order."""

    facts: Mapping[str, Any]
    cloud: GaussianCloud | None = None


@dataclass(frozen=True)
class Exporter:
    """A kind of file.

    Attributes:
        write: makes the file; raises BadInput.
        verify: once the file is there; None where a file cannot be compared with its scene.
        coarser: whether a file has steps that may be coarser, where a loss is allowed.
        half_turn: about which axis the file's axes are turned against ``world`` while it is written.
        page: whether it is one for browsers, for which fields are baked.
    """

    write: Callable[[Job], Written]
    verify: Callable[[Job, Written], Verification] | None = None
    coarser: bool = False
    half_turn: Literal["x", "z"] | None = None
    page: bool = False


def world_cloud(scene: Scene) -> GaussianCloud:
    """The Gaussians of a scene, training's normalisation undone; raises BadInput where it is made of something else."""
    renderer = scene.renderer
    if not isinstance(renderer, SplatRenderer) or not isinstance(renderer.primitives, GaussianModel):
        kind = scene.recipe.get("representation", {}).get("name", type(renderer).__name__)
        raise BadInput.of("export", wanted="a scene made of Gaussians", found=f"one made of '{kind}'",
                          remedy="convert it to gaussians first, or write a page (.html) or a mesh")  # fmt: skip
    return cloud_of(renderer.primitives).moved(scene.scene_from_world.inverse())


def _write_splats(job: Job) -> Written:
    target, codec = job.target, writer_of(job.target)
    allowed = job.allowed

    steps = None if allowed is None else lambda codec, cloud: coarsest(codec, cloud, job.judge, allowed, job.report)
    cloud, coarser = write_splats(target, job.source.cloud().moved(job.frame), job.source.scene.device, steps)
    size = target.stat().st_size
    facts = {
        "file": str(target),
        "format": codec.name,
        "gaussians": len(cloud),
        "harmonics_degree": min(cloud.degree, codec.degree),
        "bytes": size,
        "times_smaller": round(cloud.floats() * 4 / size, 2),
    }
    if coarser is not None:
        facts["bits_coarser"] = asdict(coarser)
    return Written(facts, cloud)


def _verify_splats(job: Job, written: Written) -> Verification:
    assert written.cloud is not None
    return verify(job.judge, written.cloud, read_splats(job.target).cloud)


def _write_usd(job: Job) -> Written:
    cloud = write_usd(job.target, job.source.cloud().moved(job.frame), up="Z" if job.up == "z" else "Y")
    facts = {
        "file": str(job.target),
        "format": "OpenUSD",
        "gaussians": len(cloud),
        "harmonics_degree": cloud.degree,
        "bytes": job.target.stat().st_size,
    }
    return Written(facts, cloud)


def _verify_usd(job: Job, written: Written) -> Verification:
    assert written.cloud is not None
    return verify(job.judge, written.cloud, read_usd(job.target))


def _write_page(job: Job) -> Written:
    if job.frame.to_json() != Similarity.identity().to_json():
        raise BadInput.of("--up, --scale", wanted="neither for a page, which turns itself upright", found="one of them",
                          remedy="leave it out")  # fmt: skip
    source = job.source
    scenes = {source.name: source.scene} | {n: s for n, s in source.beside.items() if isinstance(s, Scene)}
    size = export_web(scenes, job.target, shapes=[s for s in source.beside.values() if isinstance(s, Shape)])
    facts = {"file": str(job.target), "format": "page for browsers", "bytes": size}
    told = (
        ("the background differs by direction; the page shows its mean colour", differs_by_direction(source.scene)),
        (f"browsers read a folder from a server alone: python -m http.server -d {job.target}", not job.target.suffix),
    )
    if notes := [words for words, true in told if true]:
        facts["note"] = "; ".join(notes)
    return Written(facts)


FOLDER = "/"  # a name without an extension
EXPORTERS: dict[str, Exporter] = {
    extension: Exporter(_write_splats, _verify_splats, codec.encode_coarser is not None, codec.half_turn)
    for codec in CODECS.values()
    if codec.encode is not None
    for extension in codec.extensions
} | {suffix: Exporter(_write_usd, _verify_usd, half_turn=usd.HALF_TURN) for suffix in usd.SUFFIXES}
EXPORTERS |= {".html": Exporter(_write_page, page=True), FOLDER: Exporter(_write_page, page=True)}


def exporter_of(target: Path) -> Exporter:
    """What writes a file of this name; of two extensions that fit, the longer counts. Raises BadInput for none.

    A name without an extension is a folder: a page to host.
    """
    if not target.suffix:
        return EXPORTERS[FOLDER]
    fitting = [extension for extension in EXPORTERS if target.name.lower().endswith(extension)]
    if not fitting:
        endings = ", ".join(extension for extension in EXPORTERS if extension != FOLDER)
        raise BadInput.of(target, wanted=f"a name that ends in {endings}, or in nothing for a folder",
                          found=f"'{target.name}'", remedy="choose one of them")  # fmt: skip
    return EXPORTERS[max(fitting, key=len)]


def export(
    scene: Scene | Source,
    target: str | Path,
    *,
    up: Axis | None = None,
    scale: float = 1.0,
    verify: bool = False,
    allow_loss: float | None = None,
    report: Report = quiet,
) -> dict[str, Any]:
    """Write a scene as a file, in the frame of ``world`` unless asked otherwise; its extension says which kind.

    Args:
        scene: in memory; or with its Gaussians as another file had them.
        target: written whole or not at all.
        up: axis of the file that is to point up.
        scale: units of the file in a unit of the world.
        verify: read the file back, render it at the scene's cameras and add what was lost.
        allow_loss: dB that the file may lose; each part of it gets the coarsest steps that allow for that.
        report: told how far the search for these is.

    Returns plain facts. Raises BadInput, before anything is written, for what cannot be written so.
    """
    file = Path(target)
    exporter = exporter_of(file)
    if not 0 < scale < float("inf"):
        raise BadInput.of("--scale", wanted="a positive number", found=str(scale), remedy="correct it")
    if verify and exporter.verify is None:
        raise BadInput.of("--verify", wanted="a file of splats", found=f"'{file.name}'",
                          remedy="leave it out for this kind of file")  # fmt: skip
    source = scene if isinstance(scene, Source) else Source(scene)
    if allow_loss is not None and not exporter.coarser:
        coarse = ", ".join(extension for extension, kind in EXPORTERS.items() if kind.coarser)
        raise BadInput.of("--allow-loss", wanted=f"a file with steps ({coarse})", found=f"'{file.name}'",
                          remedy="leave it out for this kind of file")  # fmt: skip
    if allow_loss is not None and not 0 < allow_loss < float("inf"):
        raise BadInput.of("--allow-loss", wanted="a positive number of dB", found=str(allow_loss), remedy="correct it")
    job = Job(
        source, file, file_from_world(source.scene.cameras, up, scale, exporter.half_turn), up, allow_loss, report
    )
    written = exporter.write(job)
    facts = dict(written.facts)
    if verify and exporter.verify is not None:
        facts |= exporter.verify(job, written).to_plain()
    return facts
