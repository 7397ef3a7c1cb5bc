"""LLFF's ``poses_bounds.npy``: forward-facing captures, with the nearest and farthest depth of every image.

A row holds a 3x5 matrix (axes down, right, back; the centre; height, width, focal length) and two depths.
The intrinsics hold for the size that was stored and follow the images to theirs.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from scenekit.core.bounds import Bounds
from scenekit.core.checks import BadInput
from scenekit.core.transforms import Similarity
from scenekit.data.decode import image_size
from scenekit.data.lens import Lens
from scenekit.data.listing import Listing, Photograph, present, rigid_pose
from scenekit.data.numpyfile import DAMAGED_ARRAY, of_any_age
from scenekit.data.placement import UNBOUNDED_EXTENT

LOOKS_FOR = "poses_bounds.npy beside images/"
IMAGE_FOLDERS = ("images", "images_4", "images_8")
EXTENSIONS = (".jpg", ".jpeg", ".png")
# Depths are the 0.1 and 99.9 percentiles of the points seen: begin a little before the first.
NEAR_MARGIN = 0.8
NEAREST = 1e-9  # of all depths: the scene is scaled so that the nearest is at 1
LARGEST = 1e9  # of a height, width or focal length in pixels


def sniff(path: Path) -> bool:
    """A folder with the poses."""
    return (path / "poses_bounds.npy").is_file()


def read(path: Path) -> Listing:
    """List the images by sorted name, one for each row."""
    source = path / "poses_bounds.npy"
    table = _table(source)
    files = _image_files(path)
    if files and len(files) != len(table):
        raise BadInput.of(
            source,
            wanted=f"a row for each of the {len(files)} images in {files[0].parent}",
            found=f"{len(table)} rows",
            remedy="remove the images that were not registered, or estimate the poses again",
        )
    photographs, notes = present(source, [_photograph(source, f, row) for f, row in zip(files, table, strict=False)])
    place = _place(source, photographs, table[:, 15:])
    return Listing("llff", path, photographs, len(table), place=place, notes=notes)


def _table(source: Path) -> NDArray[np.float64]:
    try:
        with of_any_age():
            table = np.load(source, allow_pickle=False)
    except DAMAGED_ARRAY as error:
        raise BadInput.of(
            source,
            wanted="a NumPy array",
            found=f"none that can be read ({' '.join(str(error).split())})",
            remedy="copy the file again",
        ) from None
    if not isinstance(table, np.ndarray) or table.ndim != 2 or table.shape[1] != 17 or table.dtype.kind != "f":
        raise BadInput.of(
            source,
            wanted="rows of 17 numbers",
            found=f"shape {getattr(table, 'shape', None)}",
            remedy="write it as LLFF does",
        )
    return table.astype(np.float64)


def _image_files(root: Path) -> list[Path]:
    for name in IMAGE_FOLDERS:
        if (root / name).is_dir():
            return sorted(f for f in (root / name).iterdir() if f.suffix.lower() in EXTENSIONS)
    return []


def _photograph(source: Path, file: Path, row: NDArray[np.float64]) -> Photograph:
    matrix = row[:15].reshape(3, 5)
    down, right, back, centre = matrix[:, :4].T
    height, width, focal = matrix[:, 4]
    if not 1e-3 <= matrix[:, 4].min() <= matrix[:, 4].max() < LARGEST:
        raise BadInput.of(
            source,
            wanted=f"a size and focal length for {file.name}",
            found=str(matrix[:, 4]),
            remedy="correct the row",
        )
    pose = rigid_pose(source, file.name, np.stack([right, down, -back, centre], -1).tolist())
    size = image_size(file)
    if abs(size[0] / width / (size[1] / height) - 1) > 0.01:
        raise BadInput.of(
            file,
            wanted=f"the proportions {width:g}x{height:g} of its camera",
            found="{}x{}".format(*size),
            remedy="use the images the poses were estimated from, at any scale",
        )
    fx, fy = focal * size[0] / width, focal * size[1] / height
    return Photograph(file.name, file, Lens.pinhole(size, fx, fy, size[0] / 2, size[1] / 2), pose)


def _place(source: Path, photographs: tuple[Photograph, ...], depths: NDArray[np.float64]) -> tuple[Similarity, Bounds]:
    """Cameras about the origin, content from about distance 1: all of it lies where space is contracted.

    The contraction then spends its resolution evenly over inverse depth, as normalised device coordinates do.
    """
    near = float(depths[:, 0].min())
    if not (np.isfinite(depths).all() and near > NEAREST):
        raise BadInput.of(
            source,
            wanted="positive depth bounds",
            found=f"{near:g} as the nearest",
            remedy="estimate them again",
        )
    poses: Float[Tensor, "C 3 4"] = torch.stack([photograph.world_from_camera for photograph in photographs])
    similarity = Similarity.of(1 / near, poses[:, :, 3].mean(0))
    return similarity, Bounds(UNBOUNDED_EXTENT, contracted=True, near=NEAR_MARGIN)
