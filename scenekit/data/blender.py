"""Blender's synthetic captures: ``transforms_{train,val,test}.json``, RGBA over white, splits of their own.

The smallest reader of a format: copy it to add another.
"""

from __future__ import annotations

import math
from pathlib import Path

from scenekit.core.checks import BadInput
from scenekit.data.decode import image_size, is_there
from scenekit.data.jsonfile import frames_of, number, read_json_object
from scenekit.data.lens import Lens
from scenekit.data.listing import OPENCV_FROM_OPENGL, Listing, Photograph, Split, present, rigid_pose
from scenekit.data.placement import ngp_placement
from scenekit.data.ply import read_points

LOOKS_FOR = "a folder with transforms_train.json"
WHITE = (1.0, 1.0, 1.0)


def sniff(path: Path) -> bool:
    """A folder with a training list."""
    return (path / "transforms_train.json").is_file()


def read(path: Path) -> Listing:
    """List the training and test photographs; those for validation stand in where there is no test."""
    by_split = {split: _photographs(path, split) for split in ("train", "val", "test")}
    held_out = by_split["test"] or by_split["val"]
    listed = [*by_split["train"], *held_out]
    photographs, notes = present(path / "transforms_train.json", listed)
    points = path / "points3d.ply"  # where the first trainer of 3D Gaussians puts what it starts from
    split = Split(frozenset(p.name for p in by_split["train"]), frozenset(p.name for p in held_out))
    return Listing(
        "blender",
        path,
        photographs,
        len(listed),
        split=split if held_out else None,
        points=read_points(points) if points.is_file() else None,
        place=ngp_placement(),
        background=WHITE,
        notes=notes,
    )


def _photographs(root: Path, split: str) -> list[Photograph]:
    source = root / f"transforms_{split}.json"
    if not source.is_file():
        return []
    values = read_json_object(source)
    tangent = math.tan(0.5 * number(source, values, "camera_angle_x"))
    if not tangent > 0:
        raise BadInput.of(source, wanted="a 'camera_angle_x' between 0 and pi", found=str(values["camera_angle_x"]),
                          remedy="correct it")  # fmt: skip
    found: list[Photograph] = []
    for frame in frames_of(source, values):
        file = root / frame["file_path"]
        file = file if file.suffix else file.with_name(f"{file.name}.png")
        size = image_size(file) if is_there(file) else (1, 1)
        focal = 0.5 * size[0] / tangent
        pose = rigid_pose(source, frame["file_path"], frame["transform_matrix"])
        pose[:, :3] = pose[:, :3] @ OPENCV_FROM_OPENGL
        name = file.relative_to(root).as_posix() if file.is_relative_to(root) else file.as_posix()
        found.append(Photograph(name, file, Lens.pinhole(size, focal, focal, size[0] / 2, size[1] / 2), pose))
    return found
