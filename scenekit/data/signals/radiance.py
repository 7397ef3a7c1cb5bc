"""Radiance pictures (.hdr): a shared exponent for three mantissas a pixel, run-length coded line by line."""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from scenekit.core.checks import BadInput

LONGEST_RUN = 127
RESOLUTION = re.compile(rb"^-Y (\d+) \+X (\d+)$")


def read_radiance(path: Path) -> Float[Tensor, "H W 3"]:
    """Linear colours. Raises BadInput for another format, another orientation or a file that ends early."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise BadInput.of(path, wanted="a Radiance picture", found=error.strerror or str(error),
                          remedy="check the path") from None  # fmt: skip
    header, blank, body = data.partition(b"\n\n")
    line, _, pixels = body.partition(b"\n")
    resolution = RESOLUTION.match(line)
    if not header.startswith(b"#?") or not blank or resolution is None or b"32-bit_rle_xyze" in header:
        raise BadInput.of(path, wanted="a Radiance picture of RGBE pixels, stored from the top left",
                          found=repr(data[:24]), remedy="write it as -Y H +X W, or as .exr")  # fmt: skip
    height, width = int(resolution[1]), int(resolution[2])
    try:
        coded = _lines(np.frombuffer(pixels, dtype=np.uint8), height, width)
    except (IndexError, ValueError):
        raise BadInput.of(path, wanted=f"{height} lines of {width} pixels", found="fewer or damaged ones",
                          remedy="copy the file again") from None  # fmt: skip
    mantissas, exponents = coded[..., :3].astype(np.float32), coded[..., 3:].astype(np.int32)
    colors = np.where(exponents > 0, np.ldexp(mantissas, exponents - 136), 0).astype(np.float32)
    return torch.from_numpy(np.ascontiguousarray(colors))


def radiance_size(path: Path) -> tuple[int, int] | None:
    """(width, height) from the header; None where there is none."""
    with path.open("rb") as file:
        found = re.search(rb"\n\n-Y (\d+) \+X (\d+)\n", file.read(8192))
    return None if found is None else (int(found[2]), int(found[1]))


def write_radiance(colors: Float[Tensor, "H W 3"]) -> bytes:
    """A whole .hdr file, without run lengths; negative values become 0."""
    values = colors.clamp(min=0).double().numpy()
    largest = values.max(-1, keepdims=True)
    _, exponents = np.frexp(largest)
    mantissas = np.floor(np.ldexp(values, 8 - exponents)).clip(0, 255)
    coded = np.concatenate([mantissas, exponents + 128], -1)
    coded[(largest < 1e-32)[..., 0]] = 0
    head = f"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y {colors.shape[0]} +X {colors.shape[1]}\n"
    return head.encode() + coded.astype(np.uint8).tobytes()


def _lines(data: np.ndarray, height: int, width: int) -> np.ndarray:
    if 4 * width * height == len(data) and not (8 <= width < 32768 and data[0] == 2 == data[1] and data[2] < 128):
        return data.reshape(height, width, 4)
    shortest = 4 + 4 * 2 * math.ceil(width / LONGEST_RUN)  # bytes of a line: its head, and two for each run
    if height * shortest > len(data):
        raise ValueError("fewer lines")
    lines = np.empty((height, 4, width), dtype=np.uint8)
    place = 0
    for row in range(height):
        if data[place] != 2 or data[place + 1] != 2 or int(data[place + 2]) << 8 | int(data[place + 3]) != width:
            raise ValueError("not the run lengths of a line")
        place += 4
        for channel in range(4):
            place = _runs(data, place, lines[row, channel])
    return lines.transpose(0, 2, 1)


def _runs(data: np.ndarray, place: int, line: np.ndarray) -> int:
    """Fill one channel of one line; where the next begins."""
    column = 0
    while column < len(line):
        count = int(data[place])
        if count > 128:
            count -= 128
            line[column : column + count] = data[place + 1]
            place += 2
        else:
            line[column : column + count] = data[place + 1 : place + 1 + count]
            place += 1 + count
        if count == 0 or column + count > len(line):
            raise ValueError("a run beyond the line")
        column += count
    return place
