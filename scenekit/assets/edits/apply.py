"""Edits carried out: on a scene in memory, or block by block from one .ply into another, whatever their size."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from scenekit.assets.atomic import replacing
from scenekit.assets.edits.edit import Edit, Subject
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
        source.is_file()
        and codec_of(source) == "ply"
        and target.name.lower().endswith(".ply")
        and not target.name.lower().endswith(".compressed.ply")
        and all(edit.row_wise for edit in edits)
    )


def stream_edits(source: Path, target: Path, edits: Sequence[Edit]) -> dict[str, Any]:
    """Read, edit and write a few megabytes at a time; plain facts. Raises BadInput like reading the whole."""
    try:
        with source.open("rb") as stream:
            layout = ply.read_layout(stream)
            cuts = [edit.degree for edit in edits if edit.degree is not None]
            degree = min([layout.degree, *cuts])
            with replacing(target) as temporary, temporary.open("w+b") as out:
                left_out: list[int] = []
                blocks = _edited_blocks(ply.read_blocks(stream, layout), edits, left_out)
                written = ply.write_blocks(out, blocks, degree, antialiased=layout.antialiased)
                if written == 0:
                    raise _nothing_left(edits[-1].text if edits else str(source))
    except Damaged as error:
        raise BadInput.of(source, wanted="a 3DGS PLY file", found=f"a damaged one ({error})",
                          remedy="write the file again") from None  # fmt: skip
    return {
        "file": str(target),
        "format": ply.CODEC.name,
        "gaussians": written,
        "harmonics_degree": degree,
        "not_finite": sum(left_out),
        "bytes": target.stat().st_size,
    }


def _edited_blocks(
    blocks: Iterator[GaussianCloud], edits: Sequence[Edit], left_out: list[int]
) -> Iterator[GaussianCloud]:
    """Blocks after all edits; ``left_out`` gathers how many Gaussians of each no renderer can show."""
    for block in blocks:
        subject = Subject(made_finite(block)[0])
        left_out.append(len(block) - len(subject.cloud))
        for edit in edits:
            subject = edit.apply(subject)
        yield subject.cloud


def _nothing_left(after: str) -> BadInput:
    return BadInput.of(after, wanted="at least one Gaussian left", found="none", remedy="keep more of the scene")
