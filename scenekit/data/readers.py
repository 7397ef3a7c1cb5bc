"""The capture formats by name, and the sentence for a folder that is none of them."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol, runtime_checkable

from scenekit.core.checks import BadInput
from scenekit.data import (
    blender,
    bundler,
    colmap,
    llff,
    metashape,
    opensfm,
    polycam,
    realitycapture,
    record3d,
    transforms,
)
from scenekit.data.decode import find_photographs
from scenekit.data.listing import Listing


@runtime_checkable
class Reader(Protocol):
    """A capture format; a module serves by having these."""

    @property
    def LOOKS_FOR(self) -> str:  # noqa: N802 (a module's constant)
        """Names of the files that make a folder such a capture."""
        ...

    def sniff(self, path: Path) -> bool:
        """Whether the file or folder is of this format, judged by names alone."""
        ...

    def read(self, path: Path) -> Listing:
        """List the capture without loading an image. Raises BadInput."""
        ...


# The first that recognises a folder reads it.
READERS: dict[str, Reader] = {
    "blender": blender,
    "opensfm": opensfm,
    "transforms": transforms,
    "llff": llff,
    "colmap": colmap,
    "bundler": bundler,
    "polycam": polycam,
    "record3d": record3d,
    "metashape": metashape,
    "realitycapture": realitycapture,
}


def read_listing(path: Path) -> Listing:
    """List the capture at ``path``. Raises BadInput if nothing is there or no format recognises it."""
    looked_for = "; ".join(f"{name}: {reader.LOOKS_FOR}" for name, reader in READERS.items())
    if not path.exists():
        raise BadInput.of(path, wanted="a capture", found="nothing", remedy="check the path")
    for reader in READERS.values():
        if reader.sniff(path):
            return reader.read(path)
    photographs = find_photographs(path) if path.is_dir() else []
    if photographs:
        raise BadInput.of(
            path,
            wanted="a capture, photographs with their poses",
            found=f"{len(photographs)} photographs without",
            remedy=f"make one of them with: scenekit process {path} -o {path.name}-capture",
        )
    raise BadInput.of(
        path,
        wanted=f"a capture in a known format ({looked_for})",
        found="none of these",
        remedy="point at the capture's folder, or make one of photographs with `scenekit process`",
    )
