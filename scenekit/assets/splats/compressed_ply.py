"""SuperSplat's compressed .ply: 16 bytes a Gaussian, measured within chunks of 256, harmonics in a byte each."""

from __future__ import annotations

import math
from io import BufferedIOBase

import numpy as np
import torch

from scenekit.assets.splats.codec import Codec, Damaged
from scenekit.assets.splats.packing import (
    bits,
    from_smallest_three,
    morton_order,
    opacity_bytes,
    opacity_logits,
    smallest_three,
    to_byte,
)
from scenekit.assets.splats.ply import ANTIALIASED, is_antialiased
from scenekit.data.ply import Header, read_header, row_blocks
from scenekit.kernels.spherical_harmonics import C0
from scenekit.representations.gaussian_cloud import GaussianCloud

CHUNK = 256
BOUNDS = tuple(f"{end}_{axis}" for end in ("min", "max") for axis in "xyz")
SCALE_BOUNDS = tuple(f"{end}_scale_{axis}" for end in ("min", "max") for axis in "xyz")
COLOR_BOUNDS = tuple(f"{end}_{channel}" for end in ("min", "max") for channel in "rgb")
PACKED = ("packed_position", "packed_rotation", "packed_scale", "packed_color")
HARMONICS_RANGE = 8.0
LARGEST_LOG_SCALE = 20.0
THIRDS = ((21, 11), (11, 10), (0, 11))  # where three values stand in 32 bits: shift and width


def decode(stream: BufferedIOBase) -> GaussianCloud:
    """Read a file with or without bounds of colours and with any harmonics up to degree 3."""
    try:
        header = read_header(stream)
        chunks, packed = _floats(stream, header, "chunk"), _table(stream, header, "vertex")
    except ValueError as error:
        raise Damaged(str(error)) from None
    _require(header, chunks, packed)
    chunk = np.arange(len(packed)) // CHUNK
    rotation = packed["packed_rotation"]
    three = np.stack([_unpacked(rotation, 20, 10), _unpacked(rotation, 10, 10), _unpacked(rotation, 0, 10)], -1)
    color = packed["packed_color"]
    rgb = np.stack([_unpacked(color, shift, 8) for shift in (24, 16, 8)], -1)
    with np.errstate(invalid="ignore", over="ignore"):
        means = _between(chunks, BOUNDS, chunk, _thirds(packed["packed_position"]))
        log_scales = _between(chunks, SCALE_BOUNDS, chunk, _thirds(packed["packed_scale"]))
        if COLOR_BOUNDS[0] in chunks:
            rgb = _between(chunks, COLOR_BOUNDS, chunk, rgb)
        constant = ((rgb - 0.5) / C0).astype(np.float32)
    harmonics = np.concatenate([constant[:, None], _rest(stream, header, len(packed))], 1)
    return GaussianCloud(
        torch.from_numpy(means),
        torch.from_numpy(log_scales),
        from_smallest_three((rotation >> 30).astype(np.int64), three * 2 - 1),
        opacity_logits((color & 255).astype(np.uint8)),
        torch.from_numpy(harmonics),
        is_antialiased(header.comments),
    )


def encode(cloud: GaussianCloud, stream: BufferedIOBase) -> None:
    """Write all of ``cloud``; along a Z-curve chunks are small in space."""
    rest = cloud.harmonics[:, 1:].transpose(1, 2).flatten(1).numpy()
    starts = np.arange(0, len(cloud), CHUNK)
    position, position_bounds = _packed_thirds(cloud.means.numpy(), starts)
    log_scales = cloud.log_scales.clamp(-LARGEST_LOG_SCALE, LARGEST_LOG_SCALE).numpy()
    scale, scale_bounds = _packed_thirds(log_scales, starts)
    rgb, color_bounds = _within(cloud.harmonics[:, 0].numpy() * C0 + 0.5, starts)
    opacity = opacity_bytes(cloud.opacity_logits).astype(np.uint32)
    rgb = bits(rgb, 8)
    largest, three = smallest_three(cloud.quaternions)
    q = bits(three / 2 + 0.5, 10)
    rotation = (largest.astype(np.uint32) << 30) | (q[:, 0] << 20) | (q[:, 1] << 10) | q[:, 2]
    color = (rgb[:, 0] << 24) | (rgb[:, 1] << 16) | (rgb[:, 2] << 8) | opacity
    stream.write(_header(len(cloud), len(starts), rest.shape[1], cloud.antialiased))
    stream.write(np.concatenate([position_bounds, scale_bounds, color_bounds], 1).astype("<f4").tobytes())
    stream.write(np.stack([position, rotation, scale, color], 1).astype("<u4").tobytes())
    stream.write(to_byte(np.floor((rest / HARMONICS_RANGE + 0.5) * 256)).tobytes())


def _require(header: Header, chunks: dict[str, np.ndarray], packed: np.ndarray) -> None:
    bounds = (*BOUNDS, *SCALE_BOUNDS, *(COLOR_BOUNDS if COLOR_BOUNDS[0] in chunks else ()))
    missing = [name for name in bounds if name not in chunks]
    missing += [name for name in PACKED if name not in (packed.dtype.names or ())]
    if missing:
        raise Damaged(f"no column {missing[0]}")
    if any(packed.dtype[name] != np.dtype("<u4") for name in PACKED):
        raise Damaged("packed columns that are not of 32 bits")
    if math.ceil(len(packed) / CHUNK) != len(chunks[BOUNDS[0]]):
        raise Damaged(f"{len(chunks[BOUNDS[0]])} chunks for {len(packed)} Gaussians")


def _table(stream: BufferedIOBase, header: Header, name: str) -> np.ndarray:
    blocks = [block.copy() for block in row_blocks(stream, header, name)]
    return np.concatenate(blocks) if blocks else np.empty(0, header.element(name).dtype)


def _floats(stream: BufferedIOBase, header: Header, name: str) -> dict[str, np.ndarray]:
    table = _table(stream, header, name)
    with np.errstate(invalid="ignore"):
        return {column: table[column].astype(np.float64) for column in table.dtype.names or ()}


def _rest(stream: BufferedIOBase, header: Header, count: int) -> np.ndarray:
    """The harmonics beyond the constant ones, [N K 3]."""
    if all(element.name != "sh" for element in header.elements):
        return np.zeros((count, 0, 3), np.float32)
    try:
        table = _table(stream, header, "sh")
    except ValueError as error:
        raise Damaged(str(error)) from None
    names = table.dtype.names or ()
    if len(table) != count or len(names) not in (9, 24, 45) or any(table.dtype[name] != np.uint8 for name in names):
        raise Damaged(f"{len(names)} columns and {len(table)} rows of harmonics")
    values = table.view(np.uint8).reshape(count, len(names)).astype(np.float32)
    share = np.where(values == 0, 0, np.where(values == 255, 1, (values + 0.5) / 256)).astype(np.float32)
    return ((share - 0.5) * HARMONICS_RANGE).reshape(count, 3, len(names) // 3).transpose(0, 2, 1)


def _unpacked(values: np.ndarray, shift: int, width: int) -> np.ndarray:
    steps = (1 << width) - 1
    return ((values >> shift) & steps) / steps


def _thirds(values: np.ndarray) -> np.ndarray:
    return np.stack([_unpacked(values, shift, width) for shift, width in THIRDS], -1)


def _between(chunks: dict[str, np.ndarray], names: tuple[str, ...], chunk: np.ndarray, share: np.ndarray) -> np.ndarray:
    low = np.stack([chunks[name] for name in names[:3]], -1)[chunk]
    high = np.stack([chunks[name] for name in names[3:]], -1)[chunk]
    return (low * (1 - share) + high * share).astype(np.float32)


def _within(values: np.ndarray, starts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Values as shares of their chunk's range, and the range of each chunk: three least and three most values."""
    low, high = np.minimum.reduceat(values, starts), np.maximum.reduceat(values, starts)
    low, high = low.astype(np.float32), high.astype(np.float32)
    chunk = np.arange(len(values)) // CHUNK
    extent = np.where(high - low > 0, high - low, 1)
    return (values - low[chunk]) / extent[chunk], np.concatenate([low, high], 1)


def _packed_thirds(values: np.ndarray, starts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    share, bounds = _within(values, starts)
    parts = [bits(share[:, axis], width) << shift for axis, (shift, width) in enumerate(THIRDS)]
    return parts[0] | parts[1] | parts[2], bounds


def _header(count: int, chunks: int, rest: int, antialiased: bool) -> bytes:
    lines = ["ply", "format binary_little_endian 1.0", "comment scenekit"]
    lines += [f"comment {ANTIALIASED}"] if antialiased else []
    lines += [f"element chunk {chunks}"]
    lines += [f"property float {name}" for name in (*BOUNDS, *SCALE_BOUNDS, *COLOR_BOUNDS)]
    lines += [f"element vertex {count}", *(f"property uint {name}" for name in PACKED)]
    if rest:
        lines += [f"element sh {count}", *(f"property uchar f_rest_{index}" for index in range(rest))]
    return "\n".join([*lines, "end_header", ""]).encode()


CODEC = Codec(
    name="compressed PLY",
    extensions=(".compressed.ply",),
    sniff=lambda head: head.startswith(b"ply") and b"element chunk" in head,
    decode=decode,
    encode=encode,
    degree=3,
    keeps_antialiased=True,
    order=morton_order,
)
