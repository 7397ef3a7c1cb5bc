"""Record3D's export (``metadata`` beside ``rgb/`` and ``depth/``): ARKit's poses as quaternions, metric depth.

``world`` is ARKit's, y up, metres. The matrix K stands column by column; poses are xyzw and the centre.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from scenekit.core.checks import BadInput
from scenekit.core.transforms import matrix_from_quaternion
from scenekit.data.decode import find_photographs
from scenekit.data.jsonfile import LARGEST, number, read_json_object
from scenekit.data.lens import Lens
from scenekit.data.listing import OPENCV_FROM_OPENGL, Listing, Photograph, present, rigid_pose

LOOKS_FOR = "metadata or metadata.json beside rgb/"
NAMES = ("metadata.json", "metadata")


def sniff(path: Path) -> bool:
    """A folder with the metadata and colours."""
    return _file(path) is not None


def read(path: Path) -> Listing:
    """List the frames; their numbers are their rows among the poses."""
    source = _file(path)
    assert source is not None  # what sniff found
    values = read_json_object(source)
    poses = _table(source, values, "poses", 7)
    lens = _lens(source, values)
    names = {file.stem: file for file in find_photographs(path / "rgb")}
    listed: list[Photograph] = []
    for index, row in enumerate(poses):
        file = names.get(str(index), path / "rgb" / f"{index}.jpg")
        x, y, z, w, *centre = row
        turn = matrix_from_quaternion(torch.tensor([w, x, y, z], dtype=torch.float64)) @ OPENCV_FROM_OPENGL
        matrix = torch.cat([turn, torch.tensor(centre, dtype=torch.float64)[:, None]], 1)
        pose = rigid_pose(source, f"pose {index}", matrix.tolist())
        depth = path / "depth" / f"{index}.exr"
        name = f"{index:06d}{file.suffix}"  # sorted by name, 2 comes before 10
        listed.append(Photograph(name, file, lens, pose, depth=depth if depth.is_file() else None, depth_unit=1.0))
    photographs, notes = present(source, listed)
    return Listing("record3d", path, photographs, len(listed), notes=notes)


def _file(path: Path) -> Path | None:
    if not (path / "rgb").is_dir():
        return None
    return next((path / name for name in NAMES if (path / name).is_file()), None)


def _lens(source: Path, values: dict[str, Any]) -> Lens:
    (matrix,) = _table(source, {"K": [values.get("K")]}, "K", 9)
    size = round(number(source, values, "w")), round(number(source, values, "h"))
    fx, fy, cx, cy = matrix[0], matrix[4], matrix[6], matrix[7]
    if min(fx, fy, *size) <= 0:
        raise BadInput.of(
            source, wanted="positive focal lengths and sizes", found=f"{fx:g}, {fy:g}, {size}",
            remedy="export it again",
        )  # fmt: skip
    return Lens.pinhole(size, fx, fy, cx, cy)


def _table(source: Path, values: dict[str, Any], key: str, width: int) -> list[list[float]]:
    """Rows of ``width`` finite numbers under ``key``."""
    rows = values.get(key)
    right = isinstance(rows, Sequence) and all(
        isinstance(row, Sequence)
        and len(row) == width
        and all(isinstance(v, int | float) and abs(v) <= LARGEST for v in row)
        for row in rows
    )
    if not right or not rows:
        raise BadInput.of(
            source, wanted=f"rows of {width} numbers under '{key}'", found="something else", remedy="export it again"
        )
    return [[float(value) for value in row] for row in rows]
