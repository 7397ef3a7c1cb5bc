"""Polycam's raw data (``keyframes/``): one JSON file for each photograph, LiDAR depth in millimetres.

Cameras that Polycam has corrected take precedence over those of the recording. ``world`` is ARKit's, y up, metres.
"""

from __future__ import annotations

from pathlib import Path

from scenekit.data.decode import is_there
from scenekit.data.jsonfile import number, read_json_object
from scenekit.data.lens import Lens
from scenekit.data.listing import OPENCV_FROM_OPENGL, Listing, Photograph, present, rigid_pose

LOOKS_FOR = "keyframes/cameras or keyframes/corrected_cameras"
KINDS = (("corrected_cameras", "corrected_images"), ("cameras", "images"))


def sniff(path: Path) -> bool:
    """A folder with cameras of keyframes, or that folder itself."""
    return _kind(path) is not None


def read(path: Path) -> Listing:
    """List the keyframes."""
    kind = _kind(path)
    assert kind is not None  # what sniff found
    root, (cameras, images) = kind
    listed = [_photograph(file, root / images, root) for file in sorted((root / cameras).glob("*.json"))]
    photographs, notes = present(root / cameras, listed)
    return Listing("polycam", path, photographs, len(listed), notes=notes)


def _kind(path: Path) -> tuple[Path, tuple[str, str]] | None:
    for root in (path / "keyframes", path):
        for kind in KINDS:
            if (root / kind[0]).is_dir() and (root / kind[1]).is_dir() and any((root / kind[0]).glob("*.json")):
                return root, kind
    return None


def _photograph(source: Path, images: Path, root: Path) -> Photograph:
    values = read_json_object(source)
    matrix = [[number(source, values, f"t_{row}{column}") for column in range(4)] for row in range(3)]
    pose = rigid_pose(source, source.stem, matrix)
    pose[:, :3] = pose[:, :3] @ OPENCV_FROM_OPENGL
    size = round(number(source, values, "width")), round(number(source, values, "height"))
    lens = Lens.pinhole(size, *(number(source, values, key) for key in ("fx", "fy", "cx", "cy")))
    candidates = [images / f"{source.stem}{extension}" for extension in (".jpg", ".png")]
    file = next((candidate for candidate in candidates if is_there(candidate)), candidates[0])
    depth = root / "depth" / f"{source.stem}.png"
    return Photograph(file.name, file, lens, pose, depth=depth if depth.is_file() else None)
