"""Our own .sogc: Gaussians sorted into a square grid, every attribute a picture of it (Self-Organizing Gaussians).

Morgenstern et al. 2024, section 3.3, with lossless WebP for JPEG XL: rows that are alike stand side by side, so that
their values, in a few bits, compress as pictures do. A scene trained with ``--compact`` is smooth in its own order and
keeps it; another is sorted before it is written. A zip archive of ``sogc.json`` and the pictures; the rows that fill no
square stand below it.
"""

from __future__ import annotations

import json
import math
from io import BufferedIOBase
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from scenekit.assets.splats.codec import FINEST, Coarser, Codec, Damaged, size_of, unpacked_limit
from scenekit.assets.splats.containers import Archive, json_object, member, numbers, pixels, stored, webp, whole
from scenekit.assets.splats.packing import CPU, opacity_bytes, opacity_logits, whole_steps
from scenekit.kernels.grid_sort import neighbour_variance, sort_into_grid
from scenekit.representations.compact import sorting_keys
from scenekit.representations.gaussian_cloud import MAX_DEGREE, GaussianCloud

META = "sogc.json"
VERSION = 1
MEAN_BITS = 14
BITS = {"scales": 7, "rotations": 7, "color": 8, "rest": 4}
# Variance of neighbours' differences, in variances of the values, below which a grid counts as sorted; shuffled: 2.
SORTED = 1.0
# Harmonics beyond these shares of all are cut: a few would leave the others no bits.
TAILS = 2e-4


def grid_order(cloud: GaussianCloud, device: torch.device = CPU) -> Int[Tensor, " N"]:
    """The order that ``encode`` is to be given: its own where that is a sorted grid, else one found by sorting."""
    side = math.isqrt(len(cloud))
    by_opacity = cloud.opacity_logits.argsort(descending=True, stable=True)
    chosen, rest = by_opacity[: side * side].sort().values, by_opacity[side * side :]
    keys = sorting_keys(cloud.means, cloud.log_scales, cloud.harmonics[:, 0])[chosen].to(device)
    if side > 1 and neighbour_variance(keys) > SORTED * float(keys.var(0, correction=0).mean()):
        chosen = chosen[sort_into_grid(keys, torch.Generator().manual_seed(0)).cpu()]
    return torch.cat([chosen, rest])


def encode(cloud: GaussianCloud, stream: BufferedIOBase, coarser: Coarser = FINEST) -> None:
    """Write all of ``cloud`` in its order, as :func:`grid_order` would have it."""
    count, side = len(cloud), max(1, math.isqrt(len(cloud)))
    entries: list[tuple[str, bytes]] = []

    def add(name: str, values: np.ndarray) -> None:
        canvas = np.zeros((side * math.ceil(count / side), 4), np.uint8)
        canvas[:, 3] = 255
        canvas[:count, : values.shape[1]] = values
        canvas[count:] = canvas[count - 1]
        entries.append((f"{name}.webp", webp(canvas.reshape(-1, side, 4))))

    meta: dict[str, Any] = {
        "version": VERSION, "generator": "scenekit", "count": count, "width": side, "degree": cloud.degree,
        "antialiased": cloud.antialiased,
    }  # fmt: skip
    logs = torch.sign(cloud.means) * cloud.means.abs().log1p()
    words, meta["means"] = _quantised(logs, MEAN_BITS, coarser.positions)
    add("means_low", words & 255)
    add("means_high", words >> 8)
    turns = torch.nn.functional.normalize(cloud.quaternions, dim=-1)
    parts = (
        ("scales", cloud.log_scales, coarser.scales),
        ("rotations", turns, coarser.rotations),
        ("color", cloud.harmonics[:, 0], coarser.colors),
    )
    for name, values, fewer in parts:
        labels, meta[name] = _quantised(values, BITS[name], fewer)
        add(name, labels)
    add("opacity", np.repeat(opacity_bytes(cloud.opacity_logits, coarser.opacities)[:, None], 3, 1))
    meta["rest"] = []
    for index in range(1, cloud.harmonics.shape[1]):
        labels, ends = _quantised(_without_tails(cloud.harmonics[:, index]), BITS["rest"], coarser.harmonics)
        meta["rest"].append(ends)
        add(f"rest_{index}", labels)
    stored(stream, [(META, json.dumps(meta, separators=(",", ":")).encode()), *entries])


def decode(stream: BufferedIOBase) -> GaussianCloud:
    """Read what :func:`encode` wrote."""
    limit = unpacked_limit(size_of(stream))
    archive = Archive(stream)
    meta = json_object(archive.read(META), META)
    if meta.get("version") != VERSION:
        raise Damaged(f"version {str(meta.get('version'))[:40]}")
    count = whole(member(meta, "count"), "count", limit // 4)
    degree = whole(member(meta, "degree"), "degree", MAX_DEGREE)

    def values(name: str) -> np.ndarray:
        flat = pixels(archive.read(f"{name}.webp"), limit).reshape(-1, 4)
        if len(flat) < count:
            raise Damaged(f"{len(flat)} pixels of {name} for {count} Gaussians")
        return flat[:count]

    def coded(name: str, channels: int) -> Tensor:
        return _restored(values(name)[:, :channels], member(meta, name), BITS[name], name)

    words = values("means_low")[:, :3].astype(np.int64) | (values("means_high")[:, :3].astype(np.int64) << 8)
    logs = _restored(words, member(meta, "means"), MEAN_BITS, "means")
    rest = [
        _restored(values(f"rest_{index}")[:, :3], member(meta, "rest", index - 1), BITS["rest"], "rest")
        for index in range(1, (degree + 1) ** 2)
    ]
    return GaussianCloud(
        torch.sign(logs) * logs.abs().expm1(),
        coded("scales", 3),
        coded("rotations", 4),
        opacity_logits(values("opacity")[:, 0]),
        torch.stack([coded("color", 3), *rest], 1),
        meta.get("antialiased") is True,
    )


def _quantised(values: Float[Tensor, "N c"], bits: int, coarser: int) -> tuple[np.ndarray, list[float]]:
    """Steps from the least to the most of all values, and these two."""
    low, high = float(values.min()), float(values.max())
    steps = (values.double() - low) * ((2**bits - 1) / max(high - low, 1e-12))
    return whole_steps(steps.numpy(), bits, coarser), [low, high]


def _restored(steps: np.ndarray, ends: Any, bits: int, what: str) -> Tensor:
    low, high = numbers(ends, 2, what)
    with np.errstate(over="ignore", invalid="ignore"):
        return torch.from_numpy((low + steps * ((high - low) / (2**bits - 1))).astype(np.float32))


def _without_tails(values: Float[Tensor, "N c"]) -> Float[Tensor, "N c"]:
    ordered = values.flatten().sort().values
    rest = int(TAILS * len(ordered))
    return values.clamp(ordered[rest], ordered[-1 - rest])


def _sniff(head: bytes) -> bool:
    return head.startswith(b"PK\x03\x04") and head[30 : 30 + len(META)] == META.encode()


CODEC = Codec(
    name="SOGC",
    extensions=(".sogc",),
    sniff=_sniff,
    decode=decode,
    encode=encode,
    encode_coarser=encode,
    degree=MAX_DEGREE,
    keeps_antialiased=True,
    order=grid_order,
)
