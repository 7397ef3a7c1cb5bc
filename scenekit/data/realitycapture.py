"""RealityCapture's "Internal/External camera parameters" as CSV: heading, pitch, roll; lengths for 36 mm film.

Axes of ``world`` are east, north, up. A camera without turns looks straight down with north at the top; heading
turns it clockwise, then pitch raises its view and roll turns it about the north axis.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping
from pathlib import Path

import torch

from scenekit.core.checks import BadInput
from scenekit.data.decode import image_size, is_there
from scenekit.data.image_files import file_of, image_files, marked_file
from scenekit.data.lens import Lens
from scenekit.data.listing import OPENCV_FROM_OPENGL, Listing, Photograph, present, rigid_pose

LOOKS_FOR = "one .csv with #name, x, y, alt, heading, pitch, roll, f beside images/"
COLUMNS = ("#name", "x", "y", "alt", "heading", "pitch", "roll", "f")
MARK = b"#name,"  # at the beginning: a folder of photographs may hold another .csv
FILM = 36.0  # millimetres that the longer side stands for


def sniff(path: Path) -> bool:
    """A .csv, or a folder with a single one that RealityCapture wrote."""
    return marked_file(path, ".csv", MARK) is not None


def read(path: Path) -> Listing:
    """List the rows."""
    source = marked_file(path, ".csv", MARK)
    assert source is not None  # what sniff found
    try:
        with source.open(newline="", encoding="utf-8-sig") as stream:
            rows = list(csv.DictReader(stream))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise BadInput.of(
            source, wanted="a CSV file", found=f"one that cannot be read ({error})", remedy="export it again"
        ) from None
    absent = [column for column in COLUMNS if not rows or column not in rows[0]]
    if absent:
        raise BadInput.of(
            source, wanted=f"the column {absent[0]}", found="none",
            remedy='export "Internal/External camera parameters"',
        )  # fmt: skip
    nameless = next((number for number, row in enumerate(rows, 1) if row["#name"] is None), None)
    if nameless is not None:  # a row that is shorter than the names of columns
        raise BadInput.of(
            source, wanted="a name in every row", found=f"none in row {nameless}", remedy="export it again"
        )
    files = image_files(source.parent)
    listed = [_photograph(source, row, file_of(row["#name"], files, source.parent)) for row in rows]
    photographs, notes = present(source, listed)
    return Listing("realitycapture", source.parent, photographs, len(rows), notes=notes)


def _photograph(source: Path, row: Mapping[str, str], file: Path) -> Photograph:
    name = row["#name"]
    keys = ("x", "y", "alt", "heading", "pitch", "roll")
    x, y, altitude, heading, pitch, roll = (_value(source, row, key) for key in keys)
    turn = _about("z", -heading) @ _about("x", pitch) @ _about("y", roll) @ OPENCV_FROM_OPENGL
    centre = torch.tensor([x, y, altitude], dtype=torch.float64)
    pose = rigid_pose(source, name, torch.cat([turn, centre[:, None]], 1).tolist())
    return Photograph(file.name, file, _lens(source, row, file), pose)


def _about(axis: str, degrees: float) -> torch.Tensor:
    """Rotation about an axis, counter-clockwise as seen against it."""
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    rows = {
        "x": [[1, 0, 0], [0, c, -s], [0, s, c]],
        "y": [[c, 0, s], [0, 1, 0], [-s, 0, c]],
        "z": [[c, -s, 0], [s, c, 0], [0, 0, 1]],
    }[axis]
    return torch.tensor(rows, dtype=torch.float64)


def _lens(source: Path, row: Mapping[str, str], file: Path) -> Lens:
    size = image_size(file) if is_there(file) else (1, 1)
    scale = max(size) / FILM
    focal = scale * _value(source, row, "f")
    if not focal > 0:
        raise BadInput.of(
            source, wanted=f"a focal length for {row['#name']}", found=str(row["f"]), remedy="export it again"
        )
    pinhole = (
        focal,
        focal,
        size[0] / 2 + scale * _value(source, row, "px", "0"),
        size[1] / 2 + scale * _value(source, row, "py", "0"),
    )
    k1, k2, k3, k4, t1, t2 = (_value(source, row, key, "0") for key in ("k1", "k2", "k3", "k4", "t1", "t2"))
    if k4:
        raise BadInput.of(
            source, wanted="a lens model with up to three radial terms", found=f"k4 = {k4:g} for {row['#name']}",
            remedy="align with the model Brown3, or export undistorted images",
        )  # fmt: skip
    if k3:
        return Lens("FULL_OPENCV", size, (*pinhole, k1, k2, t1, t2, k3, 0.0, 0.0, 0.0))
    if k1 or k2 or t1 or t2:
        return Lens("OPENCV", size, (*pinhole, k1, k2, t1, t2))
    return Lens.pinhole(size, *pinhole)


def _value(source: Path, row: Mapping[str, str], key: str, default: str | None = None) -> float:
    text = row.get(key) or default
    try:
        value = float(text)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        value = math.nan
    if not math.isfinite(value):
        raise BadInput.of(
            source,
            wanted=f"a number under {key} for {row['#name']!r:.60}",
            found=repr(text)[:100],
            remedy="export it again",
        )
    return value
