"""Splats as a page holds them: 17 bytes each, and up to 45 for the harmonics; quantised block by block.

A block's ``base`` chunk holds one array after another, little-endian: x, y and z as uint16 in the block's box;
three log-scales as uint8; the quaternion as uint32 (the index of the largest component in the top two bits, then
the others in wxyz order, ten bits each from the lowest up, ``q = (v / 511 - 1) / sqrt 2``); red, green, blue
(``1/2 + C0 * constant coefficient``) and opacity as uint8. Its ``harmonics`` chunk holds the other coefficients as
int8, coefficient by coefficient, with one scale a degree.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from scenekit.assets.web.chunks import Chunk
from scenekit.assets.web.order import blocks_by_importance
from scenekit.core.protocols import Splats
from scenekit.kernels.spherical_harmonics import C0

MOST_DEGREE = 3
LEAST_LOG_SCALE, MOST_LOG_SCALE = -16.0, 12.0
BANDS = ((0, 3), (3, 8), (8, 15))  # rows of the coefficients beyond the constant one, degree by degree
HALF_RANGE = 511  # of a quaternion's component: an even range would not hold 0


@dataclass(frozen=True)
class QuantisedSplats:
    """What a page's ``splats`` node says about its blocks, and the chunks that hold them."""

    count: int
    degree: int
    blocks: list[dict[str, Any]]
    chunks: list[Chunk]


def quantise(splats: Splats) -> QuantisedSplats:
    """Cut into blocks, the most important first, and round; splats that no picture shows are left out."""
    splats = _in_main_memory(splats)
    seen = (splats.opacities >= 1 / 255) & splats.means.isfinite().all(-1) & splats.scales.isfinite().all(-1)
    splats = _rows(splats, seen.nonzero().squeeze(-1))
    degree = min(MOST_DEGREE, splats.degree)
    blocks: list[dict[str, Any]] = []
    chunks: list[Chunk] = []
    for index, (level, rows) in enumerate(blocks_by_importance(splats)):
        part = _rows(splats, rows)
        values, base = _base(part)
        blocks.append(values)
        chunks.append(Chunk("base", 2 * level, base, {"block": index}))
        if degree:
            scales, rest = _harmonics(part, degree)
            chunks.append(Chunk("harmonics", 2 * level + 1, rest, {"block": index, "scales": scales}))
    return QuantisedSplats(len(splats.means), degree, blocks, sorted(chunks, key=lambda chunk: chunk.level))


def dequantise(node: Mapping[str, Any], raw: Mapping[tuple[str, int], bytes]) -> Splats:
    """The splats that a page draws; ``raw`` holds the chunks by part and block."""
    scales = {chunk["block"]: chunk["scales"] for chunk in node["chunks"] if chunk["part"] == "harmonics"}
    parts = [
        _block(values, raw["base", index], raw.get(("harmonics", index), b""), scales.get(index, ()))
        for index, values in enumerate(node["blocks"])
    ]
    if not parts:
        none = torch.zeros(0, 3)
        return Splats(none, torch.zeros(0, 4), none, none[:, 0], none[:, None], none[:, None][:, :0], 0)
    columns = [torch.cat(column) for column in zip(*parts, strict=True)]
    return Splats(*columns, degree=node["degree"])


def _base(part: Splats) -> tuple[dict[str, Any], bytes]:
    lower, upper = part.means.amin(0), part.means.amax(0)
    # The box as the manifest will hold it: both sides count from the same numbers.
    places = _steps(part.means, lower, (upper - lower) / 65535, 65535)
    logs = part.scales.clamp(min=1e-30).log().clamp(LEAST_LOG_SCALE, MOST_LOG_SCALE)
    colors = part.harmonics_dc[:, 0] * C0 + 0.5
    arrays = [places.T.numpy().astype("<u2")]
    ranges = {}
    for name, values in (("log_scale", logs), ("color", colors)):
        low, high = float(values.min()), float(values.max())
        steps = _steps(values, torch.tensor(low), torch.tensor((high - low) / 255), 255)
        ranges[name] = ([low, high], steps.T.numpy().astype(np.uint8))
    opacities = (part.opacities * 255).round().clamp(0, 255).numpy().astype(np.uint8)
    arrays += [ranges["log_scale"][1], _packed_quaternions(part.quaternions), ranges["color"][1], opacities]
    values = {
        "count": len(part.means),
        "lower": lower.tolist(),
        "upper": upper.tolist(),
        **{name: limits for name, (limits, _) in ranges.items()},
    }
    return values, b"".join(np.ascontiguousarray(array).tobytes() for array in arrays)


def _steps(values: Tensor, low: Tensor, step: Tensor, most: int) -> Tensor:
    return ((values - low) / torch.where(step > 0, step, 1)).round().clamp(0, most)


def _packed_quaternions(quaternions: Tensor) -> np.ndarray:
    unit = torch.nn.functional.normalize(quaternions, dim=-1)
    largest = unit.abs().argmax(-1)
    unit = unit * torch.where(unit.gather(1, largest[:, None]) < 0, -1.0, 1.0)
    others = unit[torch.arange(4) != largest[:, None]].reshape(-1, 3)
    words = ((others * math.sqrt(2) + 1) * HALF_RANGE).round().long().clamp(0, 2 * HALF_RANGE)
    packed = words[:, 0] | (words[:, 1] << 10) | (words[:, 2] << 20) | (largest << 30)
    return packed.numpy().astype("<u4")


def _harmonics(part: Splats, degree: int) -> tuple[list[float], bytes]:
    rest = part.harmonics_rest[:, : (degree + 1) ** 2 - 1]
    scales, rounded = [0.0] * len(BANDS), torch.zeros_like(rest)
    for band, (begin, end) in enumerate(BANDS[:degree]):
        scales[band] = float(rest[:, begin:end].abs().max()) / 127
        rounded[:, begin:end] = (rest[:, begin:end] / max(scales[band], 1e-30)).round().clamp(-127, 127)
    return scales, rounded.permute(1, 2, 0).contiguous().numpy().astype(np.int8).tobytes()


def _block(values: Mapping[str, Any], base: bytes, rest_bytes: bytes, scales: Sequence[float]) -> list[Tensor]:
    """Means, quaternions, scales, opacities, constant and other harmonics of a block."""
    n = values["count"]
    places = torch.from_numpy(np.frombuffer(base, "<u2", 3 * n).astype(np.float32)).reshape(3, n).T
    lower, upper = torch.tensor(values["lower"]), torch.tensor(values["upper"])
    rest = np.frombuffer(base, np.uint8, 11 * n, 6 * n).astype(np.float32)
    logs = _ranged(rest[: 3 * n], values["log_scale"])
    colors = _ranged(rest[7 * n : 10 * n], values["color"])
    quaternions = _unpacked_quaternions(np.frombuffer(base, "<u4", n, 9 * n))
    steps = torch.from_numpy(np.frombuffer(rest_bytes, np.int8).astype(np.float32)).reshape(-1, 3, n)
    bands = [torch.full((end - begin, 1), scale) for (begin, end), scale in zip(BANDS, scales, strict=False)]
    constant = ((colors - 0.5) / C0)[:, None]
    beyond = steps.permute(2, 0, 1) * torch.cat(bands)[: len(steps)] if bands else constant[:, :0]
    opacities = torch.from_numpy(rest[10 * n :]) / 255
    return [lower + (upper - lower) / 65535 * places, quaternions, logs.exp(), opacities, constant, beyond]


def _ranged(steps: np.ndarray, limits: Sequence[float]) -> Tensor:
    low, high = limits
    return low + (high - low) / 255 * torch.from_numpy(steps).reshape(3, -1).T


def _unpacked_quaternions(words: np.ndarray) -> Tensor:
    packed = torch.from_numpy(words.astype(np.int64))
    three = torch.stack([(packed >> shift) & 1023 for shift in (0, 10, 20)], -1).float()
    three = (three / HALF_RANGE - 1) / math.sqrt(2)
    largest = packed >> 30
    unit = torch.zeros(len(packed), 4)
    unit[torch.arange(4) != largest[:, None]] = three.flatten()
    last = (1 - three.square().sum(-1, keepdim=True)).clamp(min=0).sqrt()
    return torch.nn.functional.normalize(unit.scatter(1, largest[:, None], last), dim=-1)


def _rows(splats: Splats, rows: Tensor) -> Splats:
    return Splats(
        splats.means[rows],
        splats.quaternions[rows],
        splats.scales[rows],
        splats.opacities[rows],
        splats.harmonics_dc[rows],
        splats.harmonics_rest[rows],
        splats.degree,
    )


def _in_main_memory(splats: Splats) -> Splats:
    shapes = (splats.means, splats.quaternions, splats.scales, splats.opacities)
    colors = (splats.harmonics_dc, splats.harmonics_rest)
    return Splats(*(tensor.cpu() for tensor in (*shapes, *colors)), degree=splats.degree)
