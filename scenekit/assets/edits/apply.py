"""Edits carried out: on a scene in memory, or block by block from one .ply into another, whatever their size."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from scenekit.assets.atomic import replacing
from scenekit.assets.edits.edit import Edit, Subject, other_kind
from scenekit.assets.exporters import Source
from scenekit.assets.splats import ply
from scenekit.assets.splats.codec import Damaged
from scenekit.assets.splats.files import codec_of, made_finite
from scenekit.core.checks import BadInput
from scenekit.renderers.splats import SplatRenderer
from scenekit.representations.gaussian_cloud import GaussianCloud, model_of


def edited(source: Source, edits: Sequence[Edit]) -> Source:
    """The source after all edits, cameras along; raises BadInput where nothing is left."""
    if not edits:
        return source
    subject = Subject(source.cloud(), source.scene.cameras, source.scene.scene_from_world)
    for edit in edits:
        subject = edit.apply(subject)
        if len(subject.cloud) == 0:
            raise _nothing_left(edit.text)
    assert subject.cameras is not None
    assert subject.scene_from_world is not None
    model = model_of(subject.cloud.moved(subject.scene_from_world))
    scene = replace(
        source.scene,
        renderer=SplatRenderer(model, antialiased=subject.cloud.antialiased).to(source.scene.device),
        cameras=subject.cameras,
        scene_from_world=subject.scene_from_world,
    )
    return Source(scene, subject.cloud)


def streams(source: Path, target: Path, edits: Sequence[Edit]) -> bool:
    """Whether edits go through from file to file without either in memory: .ply to .ply, row by row."""
    return (
        target.name.lower().endswith(".ply")
        and not target.name.lower().endswith(".compressed.ply")
        and all(edit.row_wise or edit.added is not None for edit in edits)
        and all(file.is_file() and codec_of(file) == "ply" for file in (source, *_added(edits)))
    )


def stream_edits(source: Path, target: Path, edits: Sequence[Edit]) -> dict[str, Any]:
    """Read, edit and write a few megabytes at a time; plain facts. Raises BadInput like reading the whole."""
    files = [source, *_added(edits)]
    layouts = {file: _layout(file) for file in files}
    antialiased = layouts[source].antialiased
    for file in files:
        if layouts[file].antialiased != antialiased:
            raise other_kind(file)
    degree = layouts[source].degree
    for edit in edits:
        degree = degree if edit.added is None else max(degree, layouts[edit.added].degree)
        degree = degree if edit.degree is None else min(degree, edit.degree)
    left_out: list[int] = []
    with replacing(target) as temporary, temporary.open("w+b") as out:
        written = ply.write_blocks(out, _edited(source, edits, left_out), degree, antialiased=antialiased)
        if written == 0:
            raise _nothing_left(edits[-1].text if edits else str(source))
    return {
        "file": str(target),
        "format": ply.CODEC.name,
        "gaussians": written,
        "harmonics_degree": degree,
        "not_finite": sum(left_out),
        "bytes": target.stat().st_size,
    }


def _added(edits: Sequence[Edit]) -> list[Path]:
    return [edit.added for edit in edits if edit.added is not None]


def _edited(source: Path, edits: Sequence[Edit], left_out: list[int]) -> Iterator[GaussianCloud]:
    """Blocks of ``source`` after all edits, then those of each file that is added after the edits that follow it.

    ``left_out`` gathers how many Gaussians of each block no renderer can show.
    """
    rows = [edit for edit in edits if edit.added is None]
    for block in _blocks(source):
        subject = Subject(made_finite(block)[0])
        left_out.append(len(block) - len(subject.cloud))
        for edit in rows:
            subject = edit.apply(subject)
        yield subject.cloud
    for place, edit in enumerate(edits):
        if edit.added is not None:
            after = [later for later in edits[place + 1 :] if later.added is None]
            yield from _edited(edit.added, after, left_out)


def _blocks(file: Path) -> Iterator[GaussianCloud]:
    with file.open("rb") as stream, _named(file):
        yield from ply.read_blocks(stream, ply.read_layout(stream))


def _layout(file: Path) -> ply.Layout:
    with file.open("rb") as stream, _named(file):
        return ply.read_layout(stream)


@contextmanager
def _named(file: Path) -> Iterator[None]:
    """Damage is said of ``file``."""
    try:
        yield
    except Damaged as error:
        raise BadInput.of(file, wanted="a 3DGS PLY file", found=f"a damaged one ({error})",
                          remedy="write the file again") from None  # fmt: skip


def _nothing_left(after: str) -> BadInput:
    return BadInput.of(after, wanted="at least one Gaussian left", found="none", remedy="keep more of the scene")
