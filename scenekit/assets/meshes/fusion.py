"""Truncated signed distances fused from depth (Curless and Levoy 1996), in blocks where some view sees a surface.

Distances are positive in front of surfaces. Elsewhere one sign fills a block: outside where some view looks
through it, inside where none does. The zero level is therefore closed, and what no view has seen can be cut off
it again (``Volume.seen``).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from scenekit.assets.meshes.views import FREE, SOLID, Views, seen_at

BLOCK = 8  # voxels a side
TRUNCATION = 4.0  # in voxels
# Weight of a view that sees nothing beside one that sees a surface: outlines are half a pixel off here and there.
EMPTY = 0.1
CHUNK = 2**19  # voxels projected at once


@dataclass(frozen=True)
class Volume:
    """Samples of a function at the corners of a regular grid.

    Attributes:
        values: positive outside; its zero level is the surface.
        seen: whether the value was observed.
        origin: position of the first corner, in ``world``.
        spacing: between corners, in ``world`` units.
    """

    values: Float[Tensor, "X Y Z"]
    seen: Bool[Tensor, "X Y Z"]
    origin: Float[Tensor, "3"]
    spacing: float


@dataclass(frozen=True)
class Box:
    """An axis-aligned box in ``world``."""

    low: Float[Tensor, "3"]
    high: Float[Tensor, "3"]

    @classmethod
    def around(cls, points: Float[Tensor, "P 3"]) -> Box:
        """The box of all but a thousandth of the points at either end of each axis, a twentieth wider."""
        ordered = points.double().sort(0).values
        rest = len(points) // 1000
        low, high = ordered[rest], ordered[-1 - rest]
        return cls(low - 0.05 * (high - low), high + 0.05 * (high - low))

    def contains(self, points: Float[Tensor, "P 3"]) -> Bool[Tensor, " P"]:
        """Which points lie inside."""
        return ((points >= self.low) & (points <= self.high)).all(-1)

    def corners(self, resolution: int) -> tuple[tuple[int, int, int], float]:
        """Corners along each axis in whole blocks, and their spacing: ``resolution`` along the longest side."""
        extent = self.high - self.low
        spacing = float(extent.max()) / resolution
        blocks = (extent / (spacing * BLOCK)).ceil().long().clamp(min=1).tolist()
        return (blocks[0] * BLOCK, blocks[1] * BLOCK, blocks[2] * BLOCK), spacing


def fuse(views: Views, points: Float[Tensor, "P 3"], box: Box, resolution: int) -> Volume:
    """Signed distances inside ``box``; ``points`` are those that the views see (they say which blocks matter)."""
    shape, spacing = box.corners(resolution)
    volume = Volume(torch.full(shape, torch.nan), torch.zeros(shape, dtype=torch.bool), box.low, spacing)
    active = _active_blocks(points, volume)
    _fill_rest(views, volume, active)
    for rows in _voxels_of(active):
        values, weights = _fused(views, volume, rows)
        x, y, z = rows.unbind(-1)
        volume.values[x, y, z] = torch.where(weights > 0, values, -1.0)
        volume.seen[x, y, z] = weights > 0
    return volume


def _active_blocks(points: Tensor, volume: Volume) -> Bool[Tensor, "BX BY BZ"]:
    """Blocks within a truncation of a point: its block, and the neighbours."""
    shape = [size // BLOCK for size in volume.values.shape]
    active = torch.zeros(shape, dtype=torch.bool)
    index = ((points - volume.origin) / (volume.spacing * BLOCK)).floor().long()
    index = index[((index >= 0) & (index < torch.tensor(shape))).all(-1)]
    active[tuple(index.unbind(-1))] = True
    spread = torch.nn.functional.max_pool3d(active[None].float(), 3, stride=1, padding=1)
    return spread[0] > 0


def _voxels_of(active: Bool[Tensor, "BX BY BZ"]) -> Iterator[Int[Tensor, "V 3"]]:
    """Corners of the active blocks, some blocks at a time."""
    local = torch.cartesian_prod(*[torch.arange(BLOCK)] * 3)
    for blocks in active.nonzero().split(CHUNK // BLOCK**3):
        yield (blocks[:, None] * BLOCK + local).reshape(-1, 3)


def _positions(volume: Volume, rows: Tensor) -> Float[Tensor, "V 3"]:
    return volume.origin + volume.spacing * rows.double()


def _fill_rest(views: Views, volume: Volume, active: Bool[Tensor, "BX BY BZ"]) -> None:
    """One sign for every other block: that of its middle, which no surface divides."""
    blocks = (~active).nonzero()
    values, weights = _fused(views, volume, blocks * BLOCK + (BLOCK - 1) / 2)
    outside = torch.zeros_like(active)
    outside[tuple(blocks.unbind(-1))] = (weights > 0) & (values > 0)
    known = torch.zeros_like(active)
    known[tuple(blocks.unbind(-1))] = weights > 0
    for target, source in ((volume.values, torch.where(outside, 1.0, -1.0)), (volume.seen, known)):
        wide = source
        for axis in range(3):
            wide = wide.repeat_interleave(BLOCK, axis)
        target.copy_(wide)


def _fused(views: Views, volume: Volume, rows: Tensor) -> tuple[Float[Tensor, " V"], Float[Tensor, " V"]]:
    """Mean truncated distance in units of the truncation, in [-1, 1], and how many views it is the mean of."""
    positions = _positions(volume, rows)
    total, weight = torch.zeros(len(rows)), torch.zeros(len(rows))
    truncation = TRUNCATION * volume.spacing
    for index in range(len(views.cameras)):
        camera = views.cameras[index]
        pixels, z = seen_at(camera, positions)
        width, height = camera.sizes[0]
        u, v = pixels.positions.floor().long().unbind(-1)
        inside = (z > 0) & (u >= 0) & (u < width) & (v >= 0) & (v < height)
        at = v.clamp(0, height - 1) * width + u.clamp(0, width - 1)
        opacity = views.opacities[index].reshape(-1)[at]
        distance = ((views.depths[index].reshape(-1)[at] - z) / truncation).float()
        solid = inside & (opacity > SOLID) & (distance > -1)
        free = inside & (opacity < FREE)
        total += torch.where(solid, distance.clamp(max=1), 0.0) + EMPTY * free
        weight += solid + EMPTY * free
    return total / weight.clamp(min=1), weight
