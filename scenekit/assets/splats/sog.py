"""PlayCanvas's .sog: values as pictures, lossless WebP in a zip archive, with codebooks in ``meta.json``.

Version 2 is read and written, version 1 (straight lines between a least and a most value instead of codebooks) read.
Either is read from a folder too, by its ``meta.json``.
"""

from __future__ import annotations

import json
import math
from io import BufferedIOBase, BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch

from scenekit.assets.splats.codec import FINEST, Coarser, Codec, Damaged, Unpacked, size_of, unpacked_limit
from scenekit.assets.splats.containers import Archive, json_object, member, numbers, pixels, stored, webp, whole
from scenekit.assets.splats.packing import (
    from_smallest_three,
    morton_order,
    opacity_bytes,
    opacity_logits,
    smallest_three,
    to_byte,
    whole_steps,
)
from scenekit.assets.splats.palette import codebook, nearest_on_line, palette
from scenekit.representations.gaussian_cloud import GaussianCloud

META = "meta.json"
ENTRIES = 256  # of a codebook
COEFFICIENTS = {1: 3, 2: 8, 3: 15}
ACROSS = 64  # palette entries in one row of their picture
MOST_PALETTE = 1 << 16
LARGEST_PALETTE_SHARE = 8  # a palette has at most one entry for so many Gaussians: 0.1 dB for a tenth of the file
LARGEST_TAG = 252  # plus which component is largest, in the alpha of a rotation


def decode(stream: BufferedIOBase) -> GaussianCloud:
    """Read versions 1 and 2."""
    limit = unpacked_limit(size_of(stream))
    archive = Archive(stream)
    meta = json_object(archive.read(META), META)
    version = meta.get("version", 1)
    if version not in (1, 2):
        raise Damaged(f"version {str(version)[:40]}")
    count = member(meta, "count") if version == 2 else member(meta, "means", "shape", 0)
    count = whole(count, "count", limit // 4)

    def picture(part: str, index: int = 0) -> np.ndarray:
        name = member(meta, part, "files", index)
        return pixels(archive.read(name if isinstance(name, str) else ""), limit)

    def values(part: str, index: int = 0) -> np.ndarray:
        flat = picture(part, index).reshape(-1, 4)
        if len(flat) < count:
            raise Damaged(f"{len(flat)} pixels of {part} for {count} Gaussians")
        return flat[:count]

    low, high = (numbers(member(meta, "means", end), 3, f"means.{end}") for end in ("mins", "maxs"))
    words = values("means", 0)[:, :3].astype(np.int64) | (values("means", 1)[:, :3].astype(np.int64) << 8)
    constant, opacity = values("sh0")[:, :3], values("sh0")[:, 3]
    quaternions = _quaternions(values("quats"))
    scales = values("scales")[:, :3]
    harmonics = None
    if "shN" in meta:
        harmonics = _rest(meta["shN"], version, values("shN", 1), picture("shN", 0))
    with np.errstate(over="ignore", invalid="ignore"):
        means = _from_log(low + words / 65535 * (high - low)).astype(np.float32)
        if version == 2:
            log_scales, colors = _coded(meta["scales"], scales, "scales"), _coded(meta["sh0"], constant, "sh0")
            logits = opacity_logits(opacity)
        else:
            log_scales = _between(meta["scales"], scales, 3, "scales")
            colors = _between(meta["sh0"], values("sh0"), 4, "sh0")
            logits, colors = torch.from_numpy(np.ascontiguousarray(colors[:, 3])), colors[:, :3]
    parts = [colors[:, None]] + ([] if harmonics is None else [harmonics])
    return GaussianCloud(
        torch.from_numpy(means),
        torch.from_numpy(log_scales),
        quaternions,
        logits,
        torch.from_numpy(np.concatenate(parts, 1)),
        meta.get("model") == "antialiased",
    )


def encode(cloud: GaussianCloud, stream: BufferedIOBase, coarser: Coarser = FINEST) -> None:
    """Write version 2; along a Z-curve neighbouring pixels are alike."""
    count = len(cloud)
    width = 4 * math.ceil(math.sqrt(count) / 4)
    height = 4 * math.ceil(count / (4 * width))
    entries: list[tuple[str, bytes]] = []

    def add(name: str, values: np.ndarray) -> str:
        canvas = np.full((height * width, 4), 255, np.uint8)
        canvas[:count, : values.shape[1]] = values
        entries.append((name, webp(canvas.reshape(height, width, 4))))
        return name

    logs = _to_log(cloud.means.double().numpy())
    low, high = logs.min(0), logs.max(0)
    words = whole_steps((logs - low) / np.where(high > low, high - low, 1) * 65535, 16, coarser.positions)
    largest, three = smallest_three(cloud.quaternions)
    tags = (largest + LARGEST_TAG)[:, None]
    turns = to_byte((three / 2 + 0.5) * 255, coarser.rotations)
    scale_codes, scale_labels = _codes(cloud.log_scales, coarser.scales)
    color_codes, color_labels = _codes(cloud.harmonics[:, 0], coarser.colors)
    opacity = opacity_bytes(cloud.opacity_logits, coarser.opacities)[:, None]
    meta: dict[str, Any] = {
        "version": 2,
        "asset": {"generator": "scenekit"},
        "count": count,
        **({"model": "antialiased"} if cloud.antialiased else {}),
        "means": {
            "mins": low.tolist(),
            "maxs": high.tolist(),
            "files": [add("means_l.webp", words & 255), add("means_u.webp", words >> 8)],
        },
        "scales": {"codebook": scale_codes, "files": [add("scales.webp", scale_labels)]},
        "quats": {"files": [add("quats.webp", np.concatenate([turns, tags], 1))]},
        "sh0": {"codebook": color_codes, "files": [add("sh0.webp", np.concatenate([color_labels, opacity], 1))]},
    }
    if cloud.degree:
        centres, labels = palette(cloud.harmonics[:, 1:].flatten(1), max(1, palette_size(count) >> coarser.harmonics))
        codes, picture = _palette_picture(centres, cloud.degree)
        entries.append(("shN_centroids.webp", webp(picture)))
        pair = np.stack([labels.numpy() & 255, labels.numpy() >> 8, np.zeros(count, np.int64)], 1)
        files = ["shN_centroids.webp", add("shN_labels.webp", pair)]
        meta["shN"] = {"count": len(centres), "bands": cloud.degree, "codebook": codes, "files": files}
    stored(stream, [*entries, (META, json.dumps(meta, separators=(",", ":")).encode())])


def gathered(meta: Path) -> BytesIO:
    """An archive of a ``meta.json`` and the pictures beside it that it names."""
    data = meta.read_bytes()
    lists = [part.get("files") for part in json_object(data, META).values() if isinstance(part, dict)]
    names = {name for files in lists if isinstance(files, list) for name in files if isinstance(name, str)}
    entries = []
    for name in sorted(names - {META}):
        picture = meta.parent / name
        if Path(name).name != name or not picture.is_file():
            raise Damaged(f"no picture {name[:60]!a} beside it")
        try:
            entries.append((name, picture.read_bytes()))
        except OSError as error:
            raise Damaged(f"'{name[:60]}' beside it ({error.strerror})") from None
    stream = BytesIO()
    stored(stream, [(META, data), *entries])
    return stream


def palette_size(count: int) -> int:
    """How many sets of harmonics stand for those of ``count`` Gaussians."""
    return max(1, min(MOST_PALETTE, count // LARGEST_PALETTE_SHARE))


def _to_log(values: np.ndarray) -> np.ndarray:
    return np.sign(values) * np.log1p(np.abs(values))


def _from_log(values: np.ndarray) -> np.ndarray:
    return np.sign(values) * np.expm1(np.abs(values))


def _codes(values: torch.Tensor, coarser: int = 0) -> tuple[list[float], np.ndarray]:
    """A codebook, its last entry repeated where it has fewer, and labels."""
    book = codebook(values.flatten(), max(1, ENTRIES >> coarser))
    labels = nearest_on_line(values, book).numpy().astype(np.uint8)
    return [*book.tolist(), *[float(book[-1])] * (ENTRIES - len(book))], labels


def _coded(part: Any, labels: np.ndarray, what: str) -> np.ndarray:
    return numbers(member(part, "codebook"), ENTRIES, f"{what}.codebook").astype(np.float32)[labels]


def _between(part: Any, labels: np.ndarray, count: int, what: str) -> np.ndarray:
    low, high = (numbers(member(part, end), count, f"{what}.{end}") for end in ("mins", "maxs"))
    return (low + labels[:, :count] / 255 * (high - low)).astype(np.float32)


def _quaternions(values: np.ndarray) -> torch.Tensor:
    tagged = values[:, 3] >= LARGEST_TAG
    largest = np.where(tagged, values[:, 3].astype(np.int64) - LARGEST_TAG, 0)
    return from_smallest_three(largest, np.where(tagged[:, None], values[:, :3] / 255 * 2 - 1, 0))


def _palette_picture(centres: torch.Tensor, degree: int) -> tuple[list[float], np.ndarray]:
    """Codebook and picture [H W 4] of a palette: 64 entries a row, a pixel for each coefficient."""
    codes, labels = _codes(centres)
    wide = COEFFICIENTS[degree]
    rows = math.ceil(len(centres) / ACROSS)
    canvas = np.full((rows * ACROSS, wide, 4), 255, np.uint8)
    canvas[: len(centres), :, :3] = labels.reshape(len(centres), wide, 3)
    return codes, canvas.reshape(rows, ACROSS * wide, 4)


def _rest(part: Any, version: int, labels: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """The harmonics beyond the constant ones, [N K 3]."""
    wide = centres.shape[1] // ACROSS
    if centres.shape[1] != wide * ACROSS or wide not in COEFFICIENTS.values():
        raise Damaged(f"a palette {centres.shape[1]} pixels wide")
    if version == 2 and COEFFICIENTS.get(member(part, "bands")) != wide:
        raise Damaged("bands that its palette does not have")
    entries = centres.reshape(-1, wide, 4)[..., :3]
    index = labels[:, 0].astype(np.int64) | (labels[:, 1].astype(np.int64) << 8)
    if len(index) and int(index.max()) >= len(entries):
        raise Damaged(f"label {int(index.max())} of a palette of {len(entries)}")
    if version == 2:
        return _coded(part, entries, "shN")[index]
    low, high = (numbers([member(part, end)], 1, f"shN.{end}")[0] for end in ("mins", "maxs"))
    return (low + entries[index] / 255 * (high - low)).astype(np.float32)


CODEC = Codec(
    name="SOG",
    extensions=(".sog",),
    sniff=lambda head: head.startswith(b"PK\x03\x04") and (b".webp" in head or b"meta.json" in head),
    decode=decode,
    encode=encode,
    encode_coarser=encode,
    degree=3,
    keeps_antialiased=True,
    order=morton_order,
    unpacked=Unpacked(META, gathered),
)
