"""COLMAP models as numbers: cameras, images and points3D, text or binary.

Read here and not through pycolmap, which trusts the counts in a file: one changed byte makes it loop for hours or
abort the process. Nothing is allocated that the file's size does not bear out. Observations are skipped.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

# Models by number, and how many parameters each has.
MODELS = (
    ("SIMPLE_PINHOLE", 3), ("PINHOLE", 4), ("SIMPLE_RADIAL", 4), ("RADIAL", 5), ("OPENCV", 8), ("OPENCV_FISHEYE", 8),
    ("FULL_OPENCV", 12), ("FOV", 5), ("SIMPLE_RADIAL_FISHEYE", 4), ("RADIAL_FISHEYE", 5), ("THIN_PRISM_FISHEYE", 12),
    ("RAD_TAN_THIN_PRISM_FISHEYE", 16), ("SIMPLE_DIVISION", 4), ("DIVISION", 5), ("SIMPLE_FISHEYE", 3), ("FISHEYE", 4),
    ("EUCM", 6), ("EQUIRECTANGULAR", 2),
)  # fmt: skip
PARAMETERS = dict(MODELS)


@dataclass(frozen=True)
class Camera:
    """A camera model by name, its size, and its parameters."""

    model: str
    size: tuple[int, int]
    parameters: tuple[float, ...]


@dataclass(frozen=True)
class Image:
    """A registered image: camera_from_world as quaternion (wxyz) and translation."""

    name: str
    camera: int
    quaternion: tuple[float, ...]
    translation: tuple[float, ...]


@dataclass(frozen=True)
class Model:
    """What a model says; points are positions in ``world`` and colours in [0, 1]."""

    cameras: dict[int, Camera]
    images: list[Image]
    positions: Float[Tensor, "N 3"]
    colors: Float[Tensor, "N 3"]


def read_model(folder: Path) -> Model:
    """Read a model's three files, binary where they are. Raises ValueError or OSError where they are damaged."""
    parts = _binary(folder) if (folder / "cameras.bin").is_file() else _text(folder)
    cameras, images, points = parts
    table = torch.tensor(points, dtype=torch.float64).reshape(-1, 6)
    return Model(dict(cameras), list(images), table[:, :3].contiguous(), (table[:, 3:] / 255).clamp(0, 1))


Parts = tuple[Iterator[tuple[int, Camera]], Iterator[Image], list[tuple[float, ...]]]


def _binary(folder: Path) -> Parts:
    files = (_Bytes(folder / f"{part}.bin") for part in ("cameras", "images", "points3D"))
    cameras, images, points = files
    return _cameras(cameras), _images(images), list(_points(points))


class _Bytes:
    """The bytes of a file, taken one after another."""

    def __init__(self, file: Path) -> None:
        self.name, self.data, self.at = file.name, file.read_bytes(), 0

    def take(self, layout: str) -> tuple[float, ...]:
        """Numbers by ``struct``'s letters."""
        try:
            values = struct.unpack_from(f"<{layout}", self.data, self.at)
        except struct.error:
            raise ValueError(f"{self.name} ends early") from None
        self.at += struct.calcsize(f"<{layout}")
        return values

    def times(self, least: int) -> range:
        """As many as the file announces, of at least ``least`` bytes each."""
        count = int(self.take("Q")[0])
        if count * least > len(self.data) - self.at:
            raise ValueError(f"{self.name} announces {count} entries and ends before them")
        return range(count)

    def skip(self, size: int) -> None:
        """Pass over a list of entries of ``size`` bytes, which its length precedes."""
        count = len(self.times(size))
        self.at += size * count

    def text(self) -> str:
        """Up to a zero byte."""
        end = self.data.find(b"\0", self.at)
        if end < 0:
            raise ValueError(f"{self.name} ends within a name")
        found = self.data[self.at : end].decode()
        self.at = end + 1
        return found


def _cameras(file: _Bytes) -> Iterator[tuple[int, Camera]]:
    for _ in file.times(24):
        identity, model, width, height = file.take("IiQQ")
        if not 0 <= model < len(MODELS):
            raise ValueError(f"{file.name} has a camera of the unknown model {model:.0f}")
        name, count = MODELS[int(model)]
        yield int(identity), Camera(name, (int(width), int(height)), file.take(f"{count}d"))


def _images(file: _Bytes) -> Iterator[Image]:
    for _ in file.times(73):
        _, *pose, camera = file.take("I7dI")
        name = file.text()
        file.skip(24)
        yield Image(name, int(camera), tuple(pose[:4]), tuple(pose[4:]))


def _points(file: _Bytes) -> Iterator[tuple[float, ...]]:
    for _ in file.times(51):
        _, *values, _ = file.take("Q3d3Bd")
        file.skip(8)
        yield tuple(values)


def _text(folder: Path) -> Parts:
    return _text_cameras(folder), _text_images(folder), list(_text_points(folder))


def _lines(file: Path) -> Iterator[str]:
    return iter(file.read_text(encoding="utf-8").splitlines())


def _rows(lines: Iterator[str], count: int) -> Iterator[list[str]]:
    """The first ``count`` words of each line that says something, and the rest of it."""
    for line in lines:
        words = line.split(maxsplit=count)
        if not words or words[0].startswith("#"):
            continue
        if len(words) < count:
            raise ValueError(f"a line has {len(words)} words of {count}: {line[:40]!r}")
        yield words


def _text_cameras(folder: Path) -> Iterator[tuple[int, Camera]]:
    for identity, model, width, height, *rest in _rows(_lines(folder / "cameras.txt"), 4):
        values = tuple(float(word) for word in " ".join(rest).split())
        if PARAMETERS.get(model) != len(values):
            raise ValueError(f"cameras.txt has a camera of model {model[:40]!r} with {len(values)} parameters")
        yield int(identity), Camera(model, (int(width), int(height)), values)


def _text_images(folder: Path) -> Iterator[Image]:
    lines = _lines(folder / "images.txt")
    for _, *pose, camera, name in (row for row in _rows(lines, 9) if len(row) == 10):
        values = tuple(float(word) for word in pose)
        next(lines, "")  # what it observes
        yield Image(name.strip(), int(camera), values[:4], values[4:])


def _text_points(folder: Path) -> Iterator[tuple[float, ...]]:
    for _, *values in (row[:7] for row in _rows(_lines(folder / "points3D.txt"), 7)):
        yield tuple(float(word) for word in values)
