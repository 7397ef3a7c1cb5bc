"""The .ply container: elements of named columns, text or binary, read in blocks of rows; and points in it.

Nothing is allocated that the file's own size does not bear out: counts are compared with the bytes there are
before any array is made.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from dataclasses import dataclass
from io import BufferedIOBase
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
LONGEST_HEADER = 1 << 20
MOST_PROPERTIES = 4096
BLOCK = 1 << 22  # bytes of rows held at once
GREY = 0.5
CHANNELS = ("red", "green", "blue")


@dataclass(frozen=True)
class Element:
    """One element of a .ply file: ``count`` rows of ``dtype``; None where a column is a list."""

    name: str
    count: int
    dtype: np.dtype[np.void] | None

    @property
    def names(self) -> tuple[str, ...]:
        """Its columns; none where one is a list."""
        return () if self.dtype is None else (self.dtype.names or ())


@dataclass(frozen=True)
class Header:
    """What a .ply file says of itself.

    Attributes:
        text: whether rows are lines of text.
        elements: in the order of the file.
        comments: without their first word.
        start: offset of the first row, in bytes.
        size: of the whole file, in bytes.
    """

    text: bool
    elements: tuple[Element, ...]
    comments: tuple[str, ...]
    start: int
    size: int

    def element(self, name: str) -> Element:
        """By name; raises ValueError where there is none."""
        for element in self.elements:
            if element.name == name:
                return element
        raise ValueError(f"no element '{name}'")


def read_header(stream: BufferedIOBase) -> Header:
    """The header of a .ply file; raises ValueError with a few words for what is none."""
    size = stream.seek(0, os.SEEK_END)
    stream.seek(0)
    head = stream.read(min(LONGEST_HEADER, size))
    end = head.find(b"end_header")
    line_end = head.find(b"\n", end)
    if not head.startswith(b"ply") or end < 0 or line_end < 0:
        raise ValueError("no header")
    order: str | None = None
    elements: list[tuple[str, int, list[tuple[str, str | None]]]] = []
    comments: list[str] = []
    for line in head[:end].decode("ascii", "replace").splitlines()[1:]:
        words = line.split()
        if not words or words[0] == "obj_info":
            continue
        if words[0] == "comment":
            comments.append(line.strip()[len("comment") :].strip())
        elif words[0] == "format":
            order = FORMATS.get(words[1] if len(words) > 1 else "")
        elif words[0] == "element":
            elements.append(_announced(words))
        elif words[0] == "property":
            _add_property(elements, words)
    if order is None:
        raise ValueError("a format that is neither text nor binary")
    return Header(order == "", tuple(_element(e, order) for e in elements), tuple(comments), line_end + 1, size)


def row_blocks(stream: BufferedIOBase, header: Header, name: str) -> Iterator[np.ndarray]:
    """The rows of one element, in blocks of a few megabytes; a block is overwritten by the next one.

    Raises ValueError where the file is too short for them, or where what comes before cannot be skipped.
    """
    element = header.element(name)
    if header.text:
        yield from _text_blocks(stream, header, element)
        return
    start, row = header.start, _row_size(element)
    if row == 0 and element.count:  # no file is too short for any number of these
        raise ValueError(f"{element.count} rows of '{name}' without a column")
    for before in itertools.takewhile(lambda other: other is not element, header.elements):
        start += before.count * _row_size(before)
    if start + element.count * row > header.size:
        raise ValueError(
            f"{element.count} rows of '{name}' announced, {max(0, header.size - start)} bytes left for them"
        )
    stream.seek(start)
    buffer = np.empty(min(element.count, max(1, BLOCK // max(1, row))), element.dtype)
    for first in range(0, element.count, max(1, len(buffer))):
        block = buffer[: element.count - first]
        if stream.readinto(memoryview(block).cast("B")) != block.nbytes:  # type: ignore[attr-defined]
            raise ValueError("the file ends early")
        yield block


def read_points(path: Path) -> PointCloud:
    """The vertices of a .ply file; grey where it has no colours. Vertices at no finite place are left out.

    Raises BadInput for what is no such file, or one that ends too early.
    """
    try:
        with path.open("rb") as stream:
            header = read_header(stream)
            blocks = [_points(block) for block in row_blocks(stream, header, "vertex")]
    except (ValueError, KeyError) as error:
        raise BadInput.of(
            path,
            wanted="a .ply file with points",
            found=f"a damaged one ({error})",
            remedy="write the file again",
        ) from None
    positions = np.concatenate([block[0] for block in blocks]) if blocks else np.zeros((0, 3))
    colors = np.concatenate([block[1] for block in blocks]) if blocks else np.zeros((0, 3))
    return PointCloud(torch.from_numpy(positions), torch.from_numpy(colors))


def points_file(cloud: PointCloud) -> bytes:
    """A .ply file of points: their colours as bytes, and their normals where they have some."""
    normals = {} if cloud.normals is None else dict(zip(("nx", "ny", "nz"), cloud.normals.unbind(-1), strict=True))
    kinds = {**dict.fromkeys("xyz", "double"), **dict.fromkeys(normals, "float"), **dict.fromkeys(CHANNELS, "uchar")}
    table = np.empty(len(cloud), [(name, "<" + TYPES[kind]) for name, kind in kinds.items()])
    colors = (cloud.colors.clamp(0, 1) * 255).round()
    columns = dict(zip((*"xyz", *CHANNELS), (*cloud.positions.unbind(-1), *colors.unbind(-1)), strict=True))
    for name, values in {**columns, **normals}.items():
        table[name] = values.numpy()
    lines = ["ply", "format binary_little_endian 1.0", "comment scenekit", f"element vertex {len(cloud)}"]
    lines += [*(f"property {kind} {name}" for name, kind in kinds.items()), "end_header", ""]
    return "\n".join(lines).encode() + table.tobytes()


def _points(table: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    names = table.dtype.names or ()
    missing = [axis for axis in "xyz" if axis not in names]
    if missing:
        raise ValueError(f"vertices without {missing[0]}")
    positions = np.stack([table[axis].astype(np.float64) for axis in "xyz"], -1)
    finite = np.isfinite(positions).all(-1)
    if "red" not in names:
        return positions[finite], np.full((int(finite.sum()), 3), GREY)
    if "green" not in names or "blue" not in names:
        raise ValueError("colours without green or blue")
    colors = np.stack([table[channel].astype(np.float64) for channel in CHANNELS], -1)
    return positions[finite], (colors / 255 if np.issubdtype(table["red"].dtype, np.integer) else colors)[finite]


def _announced(words: list[str]) -> tuple[str, int, list[tuple[str, str | None]]]:
    if len(words) != 3 or not words[2].isascii() or not words[2].isdigit():
        raise ValueError(f"'{' '.join(words)[:60]}', which announces no count")
    return words[1], int(words[2][:20]), []


def _add_property(elements: list[tuple[str, int, list[tuple[str, str | None]]]], words: list[str]) -> None:
    if not elements or len(words) < 3:
        raise ValueError("a property of nothing")
    if sum(len(properties) for _, _, properties in elements) >= MOST_PROPERTIES:
        raise ValueError(f"more than {MOST_PROPERTIES} properties")
    kind = None if words[1] == "list" else TYPES.get(words[1], "")
    if kind == "":
        raise ValueError(f"a property of type '{words[1][:60]}'")
    elements[-1][2].append((words[-1], kind))


def _element(announced: tuple[str, int, list[tuple[str, str | None]]], order: str) -> Element:
    name, count, properties = announced
    kinds = [(column, (order or "=") + kind) for column, kind in properties if kind is not None]
    if len({column for column, _ in properties}) != len(properties):
        raise ValueError(f"two properties of one name in '{name[:60]}'")
    return Element(name, count, np.dtype(kinds) if len(kinds) == len(properties) else None)


def _row_size(element: Element) -> int:
    if element.dtype is None:
        if element.count == 0:
            return 0
        raise ValueError(f"'{element.name[:60]}' with lists, whose size nobody can tell,")
    return element.dtype.itemsize


def _text_blocks(stream: BufferedIOBase, header: Header, element: Element) -> Iterator[np.ndarray]:
    if element.dtype is None:
        raise ValueError(f"'{element.name[:60]}' with lists")
    stream.seek(header.start)
    before = sum(e.count for e in itertools.takewhile(lambda other: other is not element, header.elements))
    if 2 * (before + element.count) - 1 > header.size - header.start:  # a digit and an end of line each
        raise ValueError(f"{element.count} rows announced, {header.size - header.start} bytes there")
    for _ in itertools.islice(stream, before):
        pass
    rows = max(1, BLOCK // max(1, element.dtype.itemsize))
    left = element.count
    while left:
        lines = list(itertools.islice(stream, min(left, rows)))
        if not lines:
            raise ValueError(f"{element.count} rows announced, {element.count - left} there")
        yield _parsed(lines, element.dtype)
        left -= len(lines)


def _parsed(lines: list[bytes], dtype: np.dtype[np.void]) -> np.ndarray:
    columns = len(dtype.names or ())
    words = [line.split() for line in lines]
    if any(len(row) < columns for row in words):
        raise ValueError("a row with too few values")
    values = np.array([[float(word) for word in row[:columns]] for row in words]).reshape(len(lines), columns)
    table = np.empty(len(lines), dtype)
    with np.errstate(invalid="ignore", over="ignore"):  # what does not fit is the reader's to judge
        for index, name in enumerate(dtype.names or ()):
            table[name] = values[:, index]
    return table
