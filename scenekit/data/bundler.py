"""Bundler's ``bundle.out`` beside ``list.txt``: OpenGL cameras, two radial terms, coloured points.

A camera is f, k1, k2, then R and t with ``X_camera = R X + t``; a pixel counts from the image's middle.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch

from scenekit.core.checks import BadInput
from scenekit.core.cloud import PointCloud
from scenekit.core.transforms import invert_rigid
from scenekit.data.decode import image_size, is_there
from scenekit.data.image_files import file_of, image_files
from scenekit.data.lens import Lens
from scenekit.data.listing import OPENCV_FROM_OPENGL, Listing, Photograph, present, rigid_pose

LOOKS_FOR = "bundle.out beside list.txt"
FOLDERS = ("", "bundle")
NAMES = ("bundle.out", "bundle.rd.out")


def sniff(path: Path) -> bool:
    """A folder with both files."""
    return _file(path) is not None


def read(path: Path) -> Listing:
    """List the cameras that have a focal length; those with 0 were never placed."""
    source = _file(path)
    assert source is not None  # what sniff found
    names = _names(source)
    numbers = _numbers(source)
    cameras, points = _count(source, next(numbers)), _count(source, next(numbers))
    if cameras != len(names):
        raise BadInput.of(
            source, wanted=f"a camera for each of the {len(names)} images in list.txt", found=str(cameras),
            remedy="use the two files of one run",
        )  # fmt: skip
    files = image_files(path)
    listed = [_photograph(source, file_of(name, files, path), name, numbers) for name in names]
    placed = [photograph for photograph in listed if photograph is not None]
    photographs, notes = present(source, placed)
    return Listing("bundler", path, photographs, cameras, points=_points(source, numbers, points), notes=notes)


def _file(path: Path) -> Path | None:
    candidates = [path / folder / name for folder in FOLDERS for name in NAMES]
    return next((file for file in candidates if file.is_file() and _list(file) is not None), None)


def _list(source: Path) -> Path | None:
    return next((folder / "list.txt" for folder in source.parents[:2] if (folder / "list.txt").is_file()), None)


def _names(source: Path) -> list[str]:
    listed = _list(source)
    assert listed is not None
    return [line.split()[0] for line in listed.read_text(errors="replace").splitlines() if line.strip()]


def _numbers(source: Path) -> Iterator[float]:
    """All numbers of the file in turn. Raises BadInput where it ends early or holds something else."""
    try:
        lines = source.read_text().splitlines()
        yield from (float(word) for line in lines if not line.startswith("#") for word in line.split())
    except (ValueError, OSError) as error:
        raise BadInput.of(source, wanted="numbers", found=str(error), remedy="write the file again") from None
    raise BadInput.of(
        source, wanted="as many cameras and points as it announces", found="its end before them",
        remedy="copy the file again",
    )  # fmt: skip


def _photograph(source: Path, file: Path, name: str, numbers: Iterator[float]) -> Photograph | None:
    focal, k1, k2 = (next(numbers) for _ in range(3))
    rotation = [[next(numbers) for _ in range(3)] for _ in range(3)]
    translation = [next(numbers) for _ in range(3)]
    if focal <= 0:
        return None
    matrix = [[*row, t] for row, t in zip(rotation, translation, strict=True)]
    pose = invert_rigid(rigid_pose(source, name, matrix))
    pose[:, :3] = pose[:, :3] @ OPENCV_FROM_OPENGL
    size = image_size(file) if is_there(file) else (1, 1)
    middle = (size[0] / 2, size[1] / 2)
    lens = Lens("RADIAL", size, (focal, *middle, k1, k2)) if k1 or k2 else Lens.pinhole(size, focal, focal, *middle)
    return Photograph(file.name, file, lens, pose)


def _count(source: Path, value: float) -> int:
    if not (0 <= value < 1e12 and value == int(value)):
        raise BadInput.of(source, wanted="a number of things", found=f"{value:g}", remedy="write the file again")
    return int(value)


def _points(source: Path, numbers: Iterator[float], count: int) -> PointCloud | None:
    rows: list[list[float]] = []
    for _ in range(count):
        rows.append([next(numbers) for _ in range(6)])
        for _ in range(4 * _count(source, next(numbers))):
            next(numbers)
    if not rows:
        return None
    table = torch.tensor(rows, dtype=torch.float64)
    table = table[table.isfinite().all(-1)]
    return PointCloud(table[:, :3].contiguous(), (table[:, 3:] / 255).clamp(0, 1))
