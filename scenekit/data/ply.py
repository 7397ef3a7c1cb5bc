"""Points of a .ply file: positions and colours of its vertices, text or binary."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from scenekit.core.checks import BadInput
from scenekit.core.cloud import PointCloud

TYPES = {
    "char": "i1", "int8": "i1", "uchar": "u1", "uint8": "u1", "short": "i2", "int16": "i2", "ushort": "u2",
    "uint16": "u2", "int": "i4", "int32": "i4", "uint": "u4", "uint32": "u4", "float": "f4", "float32": "f4",
    "double": "f8", "float64": "f8",
}  # fmt: skip
FORMATS = {"ascii": "", "binary_little_endian": "<", "binary_big_endian": ">"}
GREY = 0.5


def read_points(path: Path) -> PointCloud:
    """The vertices of a .ply file, which must come first in it; grey where it has no colours.

    Raises BadInput for what is no such file, or one that ends too early.
    """
    data = path.read_bytes()
    try:
        order, count, fields, start = _header(data)
        table = _vertices(data[start:], order, count, fields)
        positions = np.stack([table[axis].astype(np.float64) for axis in "xyz"], -1)
        colors = _colors(table)
    except (ValueError, KeyError, IndexError) as error:
        raise BadInput.of(
            path,
            wanted="a .ply file with points",
            found=f"a damaged one ({error})",
            remedy="write the file again",
        ) from None
    finite = np.isfinite(positions).all(-1)
    return PointCloud(torch.from_numpy(positions[finite]), torch.from_numpy(colors[finite]))


def _colors(table: np.ndarray) -> np.ndarray:
    if "red" not in (table.dtype.names or ()):
        return np.full((len(table), 3), GREY)
    colors = np.stack([table[channel].astype(np.float64) for channel in ("red", "green", "blue")], -1)
    return colors / 255 if np.issubdtype(table["red"].dtype, np.integer) else colors


def _header(data: bytes) -> tuple[str, int, list[tuple[str, str]], int]:
    """Byte order, vertex count, (name, type) of each property, and where the vertices begin."""
    end = data.find(b"end_header")
    if not data.startswith(b"ply") or end < 0:
        raise ValueError("no header")
    order, count, fields, element = "", -1, [], ""
    for line in data[:end].decode("ascii", "replace").splitlines()[1:]:
        words = line.split()
        if not words or words[0] in ("comment", "obj_info"):
            continue
        if words[0] == "format":
            order = FORMATS[words[1]]
        elif words[0] == "element":
            if count < 0 and words[1] != "vertex":
                raise ValueError("vertices do not come first")
            element = words[1]
            count = int(words[2]) if element == "vertex" else count
        elif words[0] == "property" and element == "vertex":
            fields.append((words[2], TYPES[words[1]]))
    if count < 0:
        raise ValueError("no vertices announced")
    return order, count, fields, data.index(b"\n", end) + 1


def _vertices(body: bytes, order: str, count: int, fields: list[tuple[str, str]]) -> np.ndarray:
    dtype = np.dtype([(name, order + kind) for name, kind in fields])
    if order:
        return np.frombuffer(body, dtype, count)
    rows = body.decode("ascii").splitlines()[:count]
    if len(rows) < count:
        raise ValueError(f"{count} vertices announced, {len(rows)} there")
    return (
        np.array([tuple(float(word) for word in row.split()) for row in rows])
        .astype(np.float64)
        .view([(name, "f8") for name, _ in fields])[:, 0]
        .astype(dtype)
        if rows
        else np.zeros(0, dtype)
    )
