"""GaussianSplats3D's .ksplat: sections of Gaussians in buckets about a centre, in three precisions. Read only."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from io import BufferedIOBase

import numpy as np
import torch

from scenekit.assets.splats.codec import Codec, Damaged
from scenekit.assets.splats.packing import constant_harmonics, opacity_logits
from scenekit.representations.gaussian_cloud import GaussianCloud, joined

HEADER, SECTION_HEADER = 4096, 1024
# Types of a mean, scale or rotation and of a harmonic, by level of compression.
KINDS = (("<f4", "<f4", "<f4"), ("<u2", "<f2", "<f2"), ("<u2", "<f2", "u1"))
USUAL_RANGE = 32767
USUAL_HARMONICS = 1.5
COEFFICIENTS = (0, 3, 8)


@dataclass(frozen=True)
class Section:
    """Part of a file: Gaussians of one degree in buckets, each of which has a centre."""

    count: int
    room: int
    bucket_size: int
    buckets: int
    block: float
    bucket_bytes: int
    scale_range: int
    full: int
    partial: int
    degree: int


def decode(stream: BufferedIOBase) -> GaussianCloud:
    """Read all sections of a file of version 0."""
    stream.seek(0)
    data = stream.read()
    if len(data) < HEADER or data[0] != 0 or data[1] < 1:
        raise Damaged("no header of version 0")
    (most,) = struct.unpack_from("<I", data, 4)
    (level,) = struct.unpack_from("<H", data, 20)
    if level >= len(KINDS) or HEADER + most * SECTION_HEADER > len(data):
        raise Damaged(f"{most} sections at level {level}")
    low, high = struct.unpack_from("<ff", data, 36)
    clouds, start = [], HEADER + most * SECTION_HEADER
    for index in range(most):
        section = _section(data, HEADER + index * SECTION_HEADER)
        cloud, start = _read(data, start, section, level, (low or -USUAL_HARMONICS, high or USUAL_HARMONICS))
        clouds.append(cloud)
    if not clouds:
        raise Damaged("no section")
    return joined(clouds)


def _section(data: bytes, at: int) -> Section:
    count, room, bucket_size, buckets, block, bucket_bytes = struct.unpack_from("<IIIIfH", data, at)
    (scale_range,) = struct.unpack_from("<I", data, at + 24)
    full, partial = struct.unpack_from("<II", data, at + 32)
    (degree,) = struct.unpack_from("<H", data, at + 40)
    if degree >= len(COEFFICIENTS) or count > room:
        raise Damaged(f"a section of {count} Gaussians of degree {degree}")
    return Section(count, room, bucket_size, buckets, block, bucket_bytes, scale_range or USUAL_RANGE, full, partial,
                   degree)  # fmt: skip


def _read(
    data: bytes, start: int, section: Section, level: int, harmonics: tuple[float, float]
) -> tuple[GaussianCloud, int]:
    mean, other, harmonic = KINDS[level]
    rest = 3 * COEFFICIENTS[section.degree]
    row = np.dtype(
        [("mean", mean, 3), ("scale", other, 3), ("rotation", other, 4), ("color", "u1", 4), ("rest", harmonic, rest)]
    )
    centres_at = start + 4 * section.partial
    rows_at = centres_at + section.bucket_bytes * section.buckets
    end = rows_at + section.room * row.itemsize
    if end > len(data):
        raise Damaged(f"a section that ends at {end} of {len(data)} bytes")
    table = np.frombuffer(data, row, section.count, rows_at)
    means = table["mean"].astype(np.float32)
    if level > 0:
        centres = np.frombuffer(data, np.uint8, section.bucket_bytes * section.buckets, centres_at)
        sizes = np.frombuffer(data, "<u4", section.partial, start)
        step = section.block / 2 / section.scale_range
        with np.errstate(over="ignore", invalid="ignore"):  # what is not finite then is left out of the file
            means = (means - section.scale_range) * step + _centres(section, centres, sizes)
    with np.errstate(divide="ignore", invalid="ignore"):
        log_scales = np.log(table["scale"].astype(np.float32))
    values = table["rest"].astype(np.float32)
    if level == 2:
        values = harmonics[0] + values / 255 * (harmonics[1] - harmonics[0])
    cloud = GaussianCloud(
        torch.from_numpy(means.astype(np.float32)),
        torch.from_numpy(log_scales),
        torch.from_numpy(table["rotation"].astype(np.float32)),
        opacity_logits(table["color"][:, 3]),
        torch.cat([constant_harmonics(table["color"][:, :3] / 255.0)[:, None], _in_order(values)], 1),
    )
    return cloud, end


def _centres(section: Section, stored: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """The centre of every Gaussian's bucket: full buckets first, then those that say how many they hold."""
    if section.bucket_bytes != 12:
        raise Damaged(f"buckets of {section.bucket_bytes} bytes")
    places = np.arange(section.count)
    bucket = places // max(1, section.bucket_size)
    first_partial = section.full * section.bucket_size
    ends = first_partial + np.cumsum(sizes, dtype=np.int64)
    bucket = np.where(places < first_partial, bucket, section.full + np.searchsorted(ends, places, side="right"))
    if len(bucket) and int(bucket.max()) >= section.buckets:
        raise Damaged(f"{section.count} Gaussians in {section.buckets} buckets")
    return stored.view("<f4").reshape(-1, 3)[bucket]


def _in_order(values: np.ndarray) -> torch.Tensor:
    """Within each degree all red ones stand first, then green, then blue: [N K 3]."""
    parts = [np.zeros((len(values), 0, 3), np.float32)]
    for start, end in ((0, 9), (9, 24)):
        if values.shape[1] >= end:
            parts.append(values[:, start:end].reshape(len(values), 3, (end - start) // 3).transpose(0, 2, 1))
    return torch.from_numpy(np.concatenate(parts, 1))


CODEC = Codec(
    name=".ksplat",
    extensions=(".ksplat",),
    sniff=lambda head: False,
    decode=decode,
    encode=None,
    degree=2,
)
