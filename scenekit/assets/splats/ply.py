"""3D Gaussian Splatting's .ply: one float32 column a value, as the original trainer names them. Exact.

Whether Gaussians are antialiased stands in a comment, in the words of Brush and SuperSplat (``SplatRenderMode:
mip``) or of Postshot (``antialiased 1``). Files are read and written in blocks of rows, so that they may be larger
than memory.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from io import BufferedIOBase

import numpy as np
import torch

from scenekit.assets.splats.codec import Codec, Damaged
from scenekit.data.ply import Header, read_header, row_blocks
from scenekit.representations.gaussian_cloud import MAX_DEGREE, GaussianCloud, empty_cloud

MEANS = ("x", "y", "z")
NORMALS = ("nx", "ny", "nz")
CONSTANT = ("f_dc_0", "f_dc_1", "f_dc_2")
SCALES = ("scale_0", "scale_1", "scale_2")
ROTATION = ("rot_0", "rot_1", "rot_2", "rot_3")
ANTIALIASED = "SplatRenderMode: mip"
ROWS = 1 << 14  # written at once
COUNT_DIGITS = 12


@dataclass(frozen=True)
class Layout:
    """What a splat .ply says of itself before its rows are read."""

    header: Header
    count: int
    degree: int
    antialiased: bool


def read_layout(stream: BufferedIOBase) -> Layout:
    """Count, degree and antialiasing of a splat .ply; raises Damaged for another kind of .ply."""
    try:
        header = read_header(stream)
        vertex = header.element("vertex")
    except ValueError as error:
        raise Damaged(str(error)) from None
    if vertex.names and not set(CONSTANT) & set(vertex.names):
        raise Damaged("points without Gaussians (no f_dc_0)")
    missing = [name for name in (*MEANS, *CONSTANT, "opacity", *SCALES, *ROTATION) if name not in vertex.names]
    if missing:
        raise Damaged(f"no column {missing[0]}")
    rest = sum(name.startswith("f_rest_") for name in vertex.names)
    degree = math.isqrt(rest // 3 + 1) - 1
    if 3 * ((degree + 1) ** 2 - 1) != rest or degree > MAX_DEGREE:
        raise Damaged(f"{rest} columns f_rest, which is no degree of spherical harmonics")
    if any(f"f_rest_{index}" not in vertex.names for index in range(rest)):
        raise Damaged("columns f_rest that leave out a number")
    return Layout(header, vertex.count, degree, is_antialiased(header.comments))


def read_blocks(stream: BufferedIOBase, layout: Layout) -> Iterator[GaussianCloud]:
    """The Gaussians in the order of the file, a few megabytes at a time; each block is the caller's to keep."""
    start = 0
    try:
        for table in row_blocks(stream, layout.header, "vertex"):
            cloud = empty_cloud(len(table), layout.degree, antialiased=layout.antialiased)
            _fill(cloud, slice(None), _as_floats(table))
            start += len(table)
            yield cloud
    except ValueError as error:
        raise Damaged(str(error)) from None


def write_blocks(
    stream: BufferedIOBase, blocks: Iterable[GaussianCloud], degree: int, *, antialiased: bool = False
) -> int:
    """Write Gaussians as they come, cut or filled to ``degree``, and return how many there were.

    The number stands in the header, which is written again at the end; until then it is that of an empty file.
    """
    start = stream.tell()
    stream.write(_header(0, degree, antialiased))
    written = 0
    for block in blocks:
        cloud = block.of_degree(degree)
        stream.writelines(_rows(cloud[first : first + ROWS]).data for first in range(0, len(cloud), ROWS))
        written += len(cloud)
    end = stream.tell()
    stream.seek(start)
    stream.write(_header(written, degree, antialiased))
    stream.seek(end)
    return written


def decode(stream: BufferedIOBase) -> GaussianCloud:
    """All Gaussians of a file, into arrays made once: little more memory than they need themselves."""
    layout = read_layout(stream)
    cloud: GaussianCloud | None = None
    start = 0
    try:
        for table in row_blocks(stream, layout.header, "vertex"):
            # Only now is it known that the file is as long as its header says.
            cloud = cloud or empty_cloud(layout.count, layout.degree, antialiased=layout.antialiased)
            _fill(cloud, slice(start, start + len(table)), _as_floats(table))
            start += len(table)
    except ValueError as error:
        raise Damaged(str(error)) from None
    return cloud or empty_cloud(0, layout.degree, antialiased=layout.antialiased)


def encode(cloud: GaussianCloud, stream: BufferedIOBase) -> None:
    """Write all of ``cloud``."""
    write_blocks(stream, [cloud], cloud.degree, antialiased=cloud.antialiased)


def is_antialiased(comments: Sequence[str]) -> bool:
    """Whether a header's comments say that the Gaussians are; of several the last one counts."""
    said = False
    for comment in comments:
        words = comment.lower().split()
        if words[:1] == ["splatrendermode:"]:
            said = words[1:] == ["mip"]
        elif words[:1] == ["antialiased"]:
            said = words[1:] == ["1"]
    return said


def _as_floats(table: np.ndarray) -> np.ndarray:
    """The table with every column in native float32; without a copy where it is so already."""
    names = table.dtype.names or ()
    if all(table.dtype[name] == np.dtype(np.float32) for name in names):
        return table
    with np.errstate(invalid="ignore", over="ignore"):  # values that are not finite are judged where files are read
        return table.astype([(name, np.float32) for name in names])


def _fill(cloud: GaussianCloud, rows: slice, table: np.ndarray) -> None:
    """Write a table of float32 columns into some rows of ``cloud``."""
    names = table.dtype.names or ()
    place = {name: index for index, name in enumerate(names)}
    values = torch.from_numpy(table.view(np.float32).reshape(len(table), len(names)))

    def columns(wanted: Sequence[str]) -> torch.Tensor:
        first = place[wanted[0]]
        if [place[name] for name in wanted] == list(range(first, first + len(wanted))):
            return values[:, first : first + len(wanted)]
        return values[:, [place[name] for name in wanted]]

    cloud.means[rows] = columns(MEANS)
    cloud.log_scales[rows] = columns(SCALES)
    cloud.quaternions[rows] = columns(ROTATION)
    cloud.opacity_logits[rows] = values[:, place["opacity"]]
    cloud.harmonics[rows, 0] = columns(CONSTANT)
    rest = cloud.harmonics.shape[1] - 1
    if rest:  # the file has all red ones first, then all green ones, then all blue ones
        found = columns([f"f_rest_{index}" for index in range(3 * rest)])
        cloud.harmonics[rows, 1:] = found.unflatten(1, (3, rest)).transpose(1, 2)


def _header(count: int, degree: int, antialiased: bool) -> bytes:
    rest = 3 * ((degree + 1) ** 2 - 1)
    names = (*MEANS, *NORMALS, *CONSTANT, *(f"f_rest_{i}" for i in range(rest)), "opacity", *SCALES, *ROTATION)
    lines = ["ply", "format binary_little_endian 1.0"]
    lines += [f"comment {ANTIALIASED}"] if antialiased else []
    # The comment takes up what the count leaves, so that the header's length does not depend on it.
    lines += [f"comment scenekit {'.' * (COUNT_DIGITS - len(str(count)))}", f"element vertex {count}"]
    return "\n".join([*lines, *(f"property float {name}" for name in names), "end_header", ""]).encode()


def _rows(cloud: GaussianCloud) -> np.ndarray:
    rest = cloud.harmonics[:, 1:].transpose(1, 2).flatten(1)
    parts = (cloud.means, torch.zeros_like(cloud.means), cloud.harmonics[:, 0], rest)
    tail = (cloud.opacity_logits[:, None], cloud.log_scales, cloud.quaternions)
    return np.ascontiguousarray(torch.cat([*parts, *tail], 1).numpy().astype("<f4", copy=False))


CODEC = Codec(
    name="3DGS PLY",
    extensions=(".ply",),
    sniff=lambda head: head.startswith(b"ply") and b"element chunk" not in head,
    decode=decode,
    encode=encode,
    exact=True,
    degree=MAX_DEGREE,
    keeps_antialiased=True,
)
