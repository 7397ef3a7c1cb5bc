"""Niantic's .spz: eight bits a value, packed with gzip (versions 1 to 3) or Zstandard (4). Axes: right, up, back.

Written as version 3, which every reader knows. Positions are integers of 24 bits; how many of these count fractions
is chosen for the scene, not always 12, so that small Gaussians stay where they are.
"""

from __future__ import annotations

import itertools
import math
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from io import BufferedIOBase

import numpy as np
import torch

from scenekit.assets.splats.codec import Coarser, Codec, Damaged, unpacked_limit
from scenekit.assets.splats.packing import (
    bits,
    from_smallest_three,
    half_turned,
    morton_order,
    opacity_bytes,
    opacity_logits,
    smallest_three,
    to_byte,
)
from scenekit.representations.gaussian_cloud import GaussianCloud

MAGIC = b"NGSP"
GZIP = b"\x1f\x8b"
HEADER = struct.Struct("<4sIIBBBB")  # magic, version, count, degree, fractional bits, flags, streams (0 before 4)
HEADER_END = 32  # of version 4; its stream table begins at an offset said at byte 16
ENTRY = struct.Struct("<QQ")  # packed and unpacked size of a stream
ANTIALIASED = 1
COLOR_SCALE = 0.15
SCALE_SHIFT, SCALE_STEPS = 10.0, 16.0
LARGEST_POSITION = (1 << 23) - 1
STEPS_IN_A_GAUSSIAN = 8  # positions are so fine that even small Gaussians are several steps wide
FINEST_BUCKETS = (1, 2, 2, 2)  # of the harmonics of each degree, in 1/128: a bit fewer for higher ones
WIDEST_BUCKET = 128
USUAL = Coarser(harmonics=3)  # five bits, then four, as others write them


@dataclass(frozen=True)
class Packed:
    """The streams of a file, each [N ...] bytes."""

    version: int
    degree: int
    fractional_bits: int
    antialiased: bool
    positions: np.ndarray
    alphas: np.ndarray
    colors: np.ndarray
    scales: np.ndarray
    rotations: np.ndarray
    harmonics: np.ndarray


def decode(stream: BufferedIOBase) -> GaussianCloud:
    """Read versions 1 to 4."""
    stream.seek(0)
    data = stream.read()
    packed = _legacy(_gunzipped(data)) if data.startswith(GZIP) else _streams(data)
    rest = (packed.harmonics.astype(np.float32) - 128) / 128
    constant = ((packed.colors / 255.0 - 0.5) / COLOR_SCALE).astype(np.float32)
    cloud = GaussianCloud(
        torch.from_numpy(_positions(packed)),
        torch.from_numpy(packed.scales.astype(np.float32) / SCALE_STEPS - SCALE_SHIFT),
        _first_three(packed.rotations) if packed.version < 3 else _smallest_three(packed.rotations),
        opacity_logits(packed.alphas[:, 0]),
        torch.from_numpy(np.concatenate([constant[:, None], rest.reshape(len(rest), rest.shape[1] // 3, 3)], 1)),
        packed.antialiased,
    )
    return half_turned(cloud, "x")


def encode(cloud: GaussianCloud, stream: BufferedIOBase, coarser: Coarser = USUAL, *, level: int = 9) -> None:
    """Write version 3; along a Z-curve gzip finds more to share between neighbours.

    At the highest level it takes a minute for the coarse harmonics of a million Gaussians, at level 6 five seconds.
    """
    cloud = half_turned(cloud, "x")
    fractional = max(0, _fractional_bits(cloud) - coarser.positions)
    flags = ANTIALIASED if cloud.antialiased else 0
    largest, three = smallest_three(cloud.quaternions)
    # The file counts x, y, z, w: where w is among the three it goes from their beginning to their end.
    three = np.where((largest == 0)[:, None], three, three[:, [1, 2, 0]])
    largest = (largest + 3) % 4
    rotation = largest.astype(np.uint32)
    for column in range(3):
        sign = (three[:, column] < 0).astype(np.uint32)
        rotation = (rotation << 10) | (sign << 9) | bits(np.abs(three[:, column]), 9, coarser.rotations)
    steps = np.rint(np.ldexp(cloud.means.double().numpy(), fractional))
    positions = np.clip(steps, -LARGEST_POSITION, LARGEST_POSITION).astype("<i4")
    parts = [
        HEADER.pack(MAGIC, 3, len(cloud), cloud.degree, fractional, flags, 0),
        positions[..., None].view(np.uint8)[..., :3].tobytes(),
        opacity_bytes(cloud.opacity_logits, coarser.opacities).tobytes(),
        to_byte(cloud.harmonics[:, 0].numpy() * (COLOR_SCALE * 255) + 127.5, coarser.colors).tobytes(),
        to_byte((cloud.log_scales.numpy() + SCALE_SHIFT) * SCALE_STEPS, coarser.scales).tobytes(),
        rotation.astype("<u4").tobytes(),
        _harmonic_bytes(cloud, coarser.harmonics).tobytes(),
    ]
    packer = zlib.compressobj(level, wbits=31)
    stream.writelines(packer.compress(part) for part in parts)
    stream.write(packer.flush())


def _gunzipped(data: bytes) -> bytes:
    limit = unpacked_limit(len(data))
    unpacker = zlib.decompressobj(wbits=31)
    try:
        unpacked = unpacker.decompress(data, limit)
    except zlib.error as error:
        raise Damaged(str(error)) from None
    if not unpacker.eof:
        raise Damaged("packed data that ends early" if len(unpacked) < limit else f"more than {limit} bytes unpacked")
    return unpacked


def _legacy(data: bytes) -> Packed:
    version, count, degree, fractional, flags, _ = _header(data)
    if not 1 <= version <= 3:
        raise Damaged(f"version {version} in gzip")
    sizes = _sizes(version, degree)
    if HEADER.size + count * sum(sizes) > len(data):
        raise Damaged(f"{count} Gaussians announced, {len(data)} bytes unpacked")
    ends = np.cumsum([HEADER.size, *(count * size for size in sizes)])
    parts = [data[start:end] for start, end in itertools.pairwise(ends)]
    return _packed(version, count, degree, fractional, flags, parts)


def _streams(data: bytes) -> Packed:
    version, count, degree, fractional, flags, streams = _header(data)
    if version != 4 or len(data) < HEADER_END:
        raise Damaged(f"version {version} without gzip")
    sizes = [count * size for size in _sizes(version, degree)]
    sizes = sizes if degree else sizes[:-1]
    (place,) = struct.unpack_from("<I", data, 16)
    start = place + streams * ENTRY.size
    if streams != len(sizes) or place < HEADER_END or start > len(data):
        raise Damaged(f"{streams} streams announced, wanted {len(sizes)}")
    if sum(sizes) > unpacked_limit(len(data)):
        raise Damaged(f"{sum(sizes)} bytes announced in {len(data)}")
    parts = []
    for index, size in enumerate(sizes):
        packed_size, unpacked_size = ENTRY.unpack_from(data, place + index * ENTRY.size)
        if unpacked_size != size or start + packed_size > len(data):
            raise Damaged(f"stream {index} of {unpacked_size} bytes, wanted {size}")
        parts.append(_unzstd(data[start : start + packed_size], size))
        start += packed_size
    return _packed(version, count, degree, fractional, flags, [*parts, *([b""] if degree == 0 else [])])


def _unzstd(data: bytes, size: int) -> bytes:
    import zstandard

    try:
        # max_window_size bounds what the library takes beside the result.
        reader = zstandard.ZstdDecompressor(max_window_size=1 << 27).stream_reader(data)
        unpacked = reader.read(size + 1)
    except zstandard.ZstdError as error:
        raise Damaged(str(error)) from None
    if len(unpacked) != size:
        raise Damaged(f"a stream of {len(unpacked)} bytes, wanted {size}")
    return unpacked


def _header(data: bytes) -> tuple[int, int, int, int, int, int]:
    if len(data) < HEADER.size:
        raise Damaged(f"{len(data)} bytes")
    magic, *values = HEADER.unpack_from(data)
    if magic != MAGIC:
        raise Damaged("no NGSP at its beginning")
    version, count, degree, fractional, flags, streams = values
    if degree > 4 or fractional > 30:
        raise Damaged(f"degree {degree} and {fractional} fractional bits")
    return version, count, degree, fractional, flags, streams


def _sizes(version: int, degree: int) -> Sequence[int]:
    """Bytes a Gaussian of each stream, in their order."""
    return (6 if version == 1 else 9), 1, 3, 3, (3 if version < 3 else 4), 3 * ((degree + 1) ** 2 - 1)


def _packed(version: int, count: int, degree: int, fractional: int, flags: int, parts: Sequence[bytes]) -> Packed:
    arrays = [
        np.frombuffer(part, np.uint8).reshape(count, size)
        for part, size in zip(parts, _sizes(version, degree), strict=True)
    ]
    return Packed(version, degree, fractional, bool(flags & ANTIALIASED), *arrays)


def _positions(packed: Packed) -> np.ndarray:
    if packed.version == 1:
        return np.ascontiguousarray(packed.positions).view("<f2").astype(np.float32)
    count = len(packed.positions)
    wide = np.zeros((count, 3, 4), np.uint8)
    wide[..., 1:] = packed.positions.reshape(count, 3, 3)
    whole = wide.view("<i4")[..., 0] >> 8  # the sign goes along
    return np.ldexp(whole.astype(np.float64), -packed.fractional_bits).astype(np.float32)


def _first_three(rotations: np.ndarray) -> torch.Tensor:
    xyz = rotations / 127.5 - 1
    w = np.sqrt(np.maximum(0, 1 - np.square(xyz).sum(-1, keepdims=True)))
    return torch.from_numpy(np.concatenate([w, xyz], -1).astype(np.float32))


def _smallest_three(rotations: np.ndarray) -> torch.Tensor:
    words = np.ascontiguousarray(rotations).view("<u4")[:, 0]
    fields = np.stack([(words >> shift) & 1023 for shift in (20, 10, 0)], -1)
    three = (fields & 511) / 511.0 * np.where(fields & 512, -1.0, 1.0)
    xyzw = from_smallest_three((words >> 30).astype(np.int64), three)
    return xyzw[:, [3, 0, 1, 2]]


def _fractional_bits(cloud: GaussianCloud) -> int:
    farthest = float(cloud.means.abs().max())
    room = 23 - math.ceil(math.log2(max(farthest, 1e-6) + 1e-6))
    small = float(torch.quantile(cloud.log_scales[: 1 << 20].mean(-1), 0.05))
    wanted = math.ceil(-small / math.log(2) + math.log2(STEPS_IN_A_GAUSSIAN))
    return max(0, min(wanted, room, 24))


def _harmonic_bytes(cloud: GaussianCloud, coarser: int) -> np.ndarray:
    """Rounded to the middle of buckets that are wider for higher degrees."""
    written = to_byte(np.rint(cloud.harmonics[:, 1:].numpy() * 128) + 128)
    steps = np.arange(256)
    for degree in range(1, cloud.degree + 1):
        width = min(WIDEST_BUCKET, FINEST_BUCKETS[degree - 1] << coarser)
        coarse = to_byte(np.floor((steps + width / 2) / width) * width)
        of_degree = slice(degree**2 - 1, (degree + 1) ** 2 - 1)
        written[:, of_degree] = coarse[written[:, of_degree]]
    return written


CODEC = Codec(
    name="SPZ",
    extensions=(".spz",),
    sniff=lambda head: head.startswith((GZIP, MAGIC)),
    decode=decode,
    encode=encode,
    encode_coarser=encode,
    draft=partial(encode, level=6),
    half_turn="x",
    degree=4,
    keeps_antialiased=True,
    order=morton_order,
)
