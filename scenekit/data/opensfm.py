"""OpenSfM's ``reconstruction.json`` (OpenDroneMap, Mapillary): OpenCV cameras, lengths in the image's longer side."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from scenekit.core.checks import BadInput
from scenekit.core.cloud import PointCloud
from scenekit.core.transforms import invert_rigid
from scenekit.data.image_files import file_of, image_files
from scenekit.data.jsonfile import number
from scenekit.data.lens import Lens
from scenekit.data.listing import Listing, Photograph, present, rigid_pose

LOOKS_FOR = "reconstruction.json"
FOLDERS = ("", "opensfm")


def sniff(path: Path) -> bool:
    """A folder with the file, or the file itself."""
    return _file(path) is not None


def read(path: Path) -> Listing:
    """List the shots of the largest reconstruction."""
    source = _file(path)
    assert source is not None  # what sniff found
    reconstructions = _reconstructions(source)
    largest = max(reconstructions, key=lambda each: len(each.get("shots", {})))
    cameras: Mapping[str, Any] = largest.get("cameras", {})
    shots: Mapping[str, Any] = largest.get("shots", {})
    root = path if path.is_dir() else path.parent
    files = image_files(root) or image_files(root.parent)
    lenses = {name: _lens(source, name, camera) for name, camera in cameras.items()}
    listed = [_photograph(source, name, shot, lenses, file_of(name, files, root)) for name, shot in shots.items()]
    photographs, notes = present(source, listed)
    total = sum(len(each.get("shots", {})) for each in reconstructions)
    if total > len(listed):
        notes = (*notes, f"{source} holds {len(reconstructions)} separate parts; the largest is used")
    return Listing("opensfm", root, photographs, total, points=_points(source, largest), notes=notes)


def _file(path: Path) -> Path | None:
    if path.name == "reconstruction.json" and path.is_file():
        return path
    return next(
        (path / f / "reconstruction.json" for f in FOLDERS if (path / f / "reconstruction.json").is_file()), None
    )


def _reconstructions(source: Path) -> list[dict[str, Any]]:
    try:
        values = json.loads(source.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise BadInput.of(
            source, wanted="a JSON file", found=f"one that cannot be read ({error})", remedy="write the file again"
        ) from None
    if not isinstance(values, list) or not values or not all(_is_whole(each) for each in values):
        raise BadInput.of(source, wanted="a list of reconstructions, with cameras, shots and points by name",
                          found=type(values).__name__, remedy="use OpenSfM's own file")  # fmt: skip
    return values


def _is_whole(reconstruction: Any) -> bool:
    """Whether it is made of dictionaries of dictionaries."""
    if not isinstance(reconstruction, dict):
        return False
    parts = [reconstruction.get(part, {}) for part in ("cameras", "shots", "points")]
    return all(isinstance(part, dict) and all(isinstance(each, dict) for each in part.values()) for part in parts)


def _lens(source: Path, name: str, camera: Mapping[str, Any]) -> Lens:
    kind = str(camera.get("projection_type", "perspective"))
    size = round(number(source, camera, "width")), round(number(source, camera, "height"))
    longer = max(size)
    focal = number(source, camera, "focal", 0.0)
    fx = longer * number(source, camera, "focal_x", focal)
    fy = longer * number(source, camera, "focal_y", focal)
    cx = size[0] / 2 + longer * number(source, camera, "c_x", 0.0)
    cy = size[1] / 2 + longer * number(source, camera, "c_y", 0.0)
    k1, k2, k3, k4, p1, p2 = (number(source, camera, key, 0.0) for key in ("k1", "k2", "k3", "k4", "p1", "p2"))
    if min(fx, fy, *size) <= 0:
        raise BadInput.of(source, wanted=f"a size and focal length in camera '{name}'", found=str(dict(camera)),
                          remedy="calibrate again")  # fmt: skip
    if kind in ("fisheye", "fisheye_opencv"):
        return Lens("OPENCV_FISHEYE", size, (fx, fy, cx, cy, k1, k2, k3, k4))
    if kind not in ("perspective", "brown", "radial", "simple_radial"):
        raise BadInput.of(source, wanted="perspective or fisheye cameras", found=kind,
                          remedy="cut perspective views from it first")  # fmt: skip
    if k3:
        return Lens("FULL_OPENCV", size, (fx, fy, cx, cy, k1, k2, p1, p2, k3, 0.0, 0.0, 0.0))
    if k1 or k2 or p1 or p2:
        return Lens("OPENCV", size, (fx, fy, cx, cy, k1, k2, p1, p2))
    return Lens.pinhole(size, fx, fy, cx, cy)


def _photograph(source: Path, name: str, shot: Mapping[str, Any], lenses: Mapping[str, Lens], file: Path) -> Photograph:
    lens = lenses.get(str(shot.get("camera")))
    if lens is None:
        raise BadInput.of(source, wanted=f"the camera of shot '{name}'", found=repr(shot.get("camera")),
                          remedy="use the file as OpenSfM wrote it")  # fmt: skip
    try:
        turn = torch.tensor(shot["rotation"], dtype=torch.float64).reshape(3)
        translation = torch.tensor(shot["translation"], dtype=torch.float64).reshape(3)
    except (KeyError, TypeError, ValueError, RuntimeError, OverflowError):
        raise BadInput.of(source, wanted=f"three numbers each of rotation and translation in shot '{name}'",
                          found="something else", remedy="use the file as OpenSfM wrote it") from None  # fmt: skip
    x, y, z = turn.tolist()
    across = torch.tensor([[0, -z, y], [z, 0, -x], [-y, x, 0]], dtype=torch.float64)
    matrix = torch.cat([torch.linalg.matrix_exp(across), translation[:, None]], 1)
    return Photograph(name, file, lens, invert_rigid(rigid_pose(source, name, matrix.tolist())))


def _points(source: Path, reconstruction: Mapping[str, Any]) -> PointCloud | None:
    points = list(reconstruction.get("points", {}).values())
    if not points:
        return None
    try:
        positions = torch.tensor([point["coordinates"] for point in points], dtype=torch.float64).reshape(-1, 3)
        colors = torch.tensor([point["color"] for point in points], dtype=torch.float64).reshape(-1, 3) / 255
    except (KeyError, TypeError, ValueError, RuntimeError, OverflowError):
        raise BadInput.of(source, wanted="points with coordinates and color", found="something else",
                          remedy="use the file as OpenSfM wrote it") from None  # fmt: skip
    if len(positions) != len(colors):
        raise BadInput.of(source, wanted="a colour for each point", found=f"{len(colors)} of {len(positions)}",
                          remedy="use the file as OpenSfM wrote it")  # fmt: skip
    finite = positions.isfinite().all(-1) & colors.isfinite().all(-1)
    return PointCloud(positions[finite], colors[finite].clamp(0, 1))
