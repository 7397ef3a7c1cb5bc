"""COLMAP models, text or binary: every camera model, poses, coloured points."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from scenekit.core.checks import BadInput
from scenekit.core.cloud import PointCloud
from scenekit.core.transforms import invert_rigid, matrix_from_quaternion
from scenekit.data.colmap_model import Camera, Image, Model, read_model
from scenekit.data.decode import find_photographs
from scenekit.data.lens import Lens
from scenekit.data.listing import Listing, Photograph, present, rigid_pose

LOOKS_FOR = "cameras, images and points3D (.bin or .txt) in sparse/0, sparse, colmap/sparse/0 or the folder itself"
MODEL_FOLDERS = ("sparse/0", "sparse", "colmap/sparse/0", "colmap/sparse", "")
PANORAMAS = ("EQUIRECTANGULAR",)


@contextmanager
def quiet(*, about_errors: bool = False) -> Iterator[None]:
    """COLMAP logs every step to standard error; only errors are of interest here, unless they are told otherwise."""
    from scenekit.data.colmap_library import pycolmap

    level = pycolmap.logging.minloglevel
    pycolmap.logging.minloglevel = (pycolmap.logging.FATAL if about_errors else pycolmap.logging.ERROR).value
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
    lenses = {number: _lens(folder, camera) for number, camera in model.cameras.items()}
    listed = [
        Photograph(image.name, root / image.name, _lens_of(folder, image, lenses), _pose(folder, image))
        for image in model.images
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


def _model(folder: Path) -> Model:
    try:
        return read_model(folder)
    except (ValueError, OSError, OverflowError) as error:
        raise BadInput.of(
            folder,
            wanted="a COLMAP model",
            found=f"one that cannot be read ({error})",
            remedy="export it again with `colmap model_converter`",
        ) from None


def _lens(folder: Path, camera: Camera) -> Lens:
    if camera.model in PANORAMAS:
        raise BadInput.of(
            folder,
            wanted="perspective or fisheye cameras",
            found=camera.model,
            remedy="cut perspective views from it first",
        )
    return Lens(camera.model, camera.size, camera.parameters)


def _lens_of(folder: Path, image: Image, lenses: dict[int, Lens]) -> Lens:
    if image.camera not in lenses:
        raise BadInput.of(folder, wanted=f"the camera {image.camera} of {image.name}", found="none",
                          remedy="export the model again")  # fmt: skip
    return lenses[image.camera]


def _pose(folder: Path, image: Image) -> torch.Tensor:
    turn = matrix_from_quaternion(torch.tensor(image.quaternion, dtype=torch.float64))
    matrix = torch.cat([turn, torch.tensor(image.translation, dtype=torch.float64)[:, None]], 1)
    return invert_rigid(rigid_pose(folder, image.name, matrix.tolist()))


def _points(model: Model) -> PointCloud | None:
    finite = model.positions.isfinite().all(-1) & model.colors.isfinite().all(-1)
    if not len(finite):
        return None
    return PointCloud(model.positions[finite], model.colors[finite])
