"""COLMAP models, text or binary, through pycolmap: every camera model, poses, coloured points."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from scenekit.core.checks import BadInput
from scenekit.core.cloud import PointCloud
from scenekit.core.transforms import invert_rigid
from scenekit.data.decode import find_photographs
from scenekit.data.lens import Lens
from scenekit.data.listing import Listing, Photograph, present, rigid_pose

if TYPE_CHECKING:
    import pycolmap

LOOKS_FOR = "cameras, images and points3D (.bin or .txt) in sparse/0, sparse, colmap/sparse/0 or the folder itself"
MODEL_FOLDERS = ("sparse/0", "sparse", "colmap/sparse/0", "colmap/sparse", "")
PANORAMAS = ("EQUIRECTANGULAR",)


@contextmanager
def quiet() -> Iterator[None]:
    """COLMAP logs every step to standard error; only errors are of interest here."""
    import pycolmap

    level = pycolmap.logging.minloglevel
    pycolmap.logging.minloglevel = pycolmap.logging.ERROR.value
    try:
        yield
    finally:
        pycolmap.logging.minloglevel = level


def sniff(path: Path) -> bool:
    """A folder with a model in one of the usual places."""
    return _model_folder(path) is not None


def read(path: Path) -> Listing:
    """List the registered images whose file exists."""
    folder = _model_folder(path) or path
    model = _model(folder)
    root = _image_folder(path, folder)
    lenses = {camera_id: _lens(folder, camera) for camera_id, camera in model.cameras.items()}
    listed = [
        Photograph(image.name, root / image.name, lenses[image.camera_id], _pose(folder, image))
        for image in model.images.values()
        if image.has_pose
    ]
    photographs, notes = present(folder, listed)
    without = _without_pose(root, listed)
    if without:
        notes = (*notes, f"{without} of {len(listed) + without} photographs in {root} have no pose")
    return Listing("colmap", path, photographs, len(listed) + without, points=_points(model), notes=notes)


def _without_pose(root: Path, listed: list[Photograph]) -> int:
    """How many of the photographs in a capture's image folder the model could not place."""
    if root.name != "images":
        return 0
    placed = {photograph.name for photograph in listed}
    return sum(name.relative_to(root).as_posix() not in placed for name in find_photographs(root))


def _model_folder(path: Path) -> Path | None:
    for name in MODEL_FOLDERS:
        for extension in (".bin", ".txt"):
            if all((path / name / f"{part}{extension}").is_file() for part in ("cameras", "images", "points3D")):
                return path / name
    return None


def _image_folder(path: Path, model: Path) -> Path:
    """``images`` beside the model's parents; the capture itself if there is none."""
    parents = [path, *(parent for parent in model.resolve().parents[:3])]
    return next((parent / "images" for parent in parents if (parent / "images").is_dir()), path)


def _model(folder: Path) -> pycolmap.Reconstruction:
    import pycolmap

    try:
        return pycolmap.Reconstruction(str(folder))
    except (ValueError, RuntimeError, IndexError, OSError, MemoryError) as error:
        raise BadInput.of(
            folder,
            wanted="a COLMAP model",
            found=f"one that cannot be read ({str(error).splitlines()[0] if str(error) else 'damaged'})",
            remedy="export it again with `colmap model_converter`",
        ) from None


def _lens(folder: Path, camera: pycolmap.Camera) -> Lens:
    name = camera.model_name if isinstance(camera.model_name, str) else camera.model.name
    values = tuple(float(value) for value in camera.params)
    if name in PANORAMAS:
        raise BadInput.of(
            folder,
            wanted="perspective or fisheye cameras",
            found=name,
            remedy="cut perspective views from it first",
        )
    if not np.isfinite(values).all() or min(camera.width, camera.height) < 1:
        raise BadInput.of(
            folder,
            wanted=f"finite parameters and a size in camera {camera.camera_id}",
            found=f"{camera.width}x{camera.height} {values}",
            remedy="calibrate again",
        )
    return Lens(name, (int(camera.width), int(camera.height)), values)


def _pose(folder: Path, image: pycolmap.Image) -> torch.Tensor:
    # A method since 3.12, when rigs came; a property before.
    cam_from_world = image.cam_from_world() if callable(image.cam_from_world) else image.cam_from_world
    return invert_rigid(rigid_pose(folder, image.name, np.asarray(cam_from_world.matrix()).tolist()))


def _points(model: pycolmap.Reconstruction) -> PointCloud | None:
    points = list(model.points3D.values())
    if not points:
        return None
    positions = torch.from_numpy(np.stack([point.xyz for point in points]))
    colors = torch.from_numpy(np.stack([point.color for point in points])).double() / 255
    finite = positions.isfinite().all(-1)
    return PointCloud(positions[finite], colors[finite])
