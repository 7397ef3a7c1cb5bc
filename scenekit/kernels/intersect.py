"""Which Gaussians reach which tile of 16x16 pixels, front to back: what the rasterizer walks through."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int32, Int64
from torch import Tensor

from scenekit.core.checks import check_same_kind, check_shape
from scenekit.kernels import native
from scenekit.kernels.depth_order import by_depth
from scenekit.kernels.gpu import intersect as on_gpu
from scenekit.kernels.op import register

TILE = 16
LEAST_ALPHA = 1 / 255  # fainter contributions are skipped
FEATURES = 6  # the first column of a row that holds one
SLACK = 1.001  # the visible ellipse grows by this in squared radius, so that rounding loses no pixel
PIECES = 16  # of the depth order, counted and filled side by side (as in cuda/cpu/intersect.cpp)


@dataclass(frozen=True)
class Tiles:
    """The Gaussians of every tile, front to back.

    Attributes:
        gaussians: indices of Gaussians, tile after tile (tiles in rows).
        offsets: where each tile's indices start; the last entry is their number.
        needed: how many indices there would be if all had room.
    """

    gaussians: Int32[Tensor, "I"]
    offsets: Int64[Tensor, " T1"]
    needed: Int64[Tensor, ""] | None = None


def intersect(
    rows: Float[Tensor, "N P"],
    depths: Float[Tensor, "N"],
    size: tuple[int, int],
    *,
    capacity: int | None = None,
    order: Int64[Tensor, "N"] | None = None,
) -> Tiles:
    """List per tile of an image of ``size`` (width, height) the Gaussians to be seen in it, nearest first.

    A row begins as :class:`~scenekit.kernels.project.Projected` has it, with mean, conic and opacity. A Gaussian is
    listed where the ellipse alpha >= 1/255 touches the rectangle of the tile's pixel centres, and nowhere if its conic
    is not positive definite. Equal depths keep the order of the indices, or come as in ``order``, which has each index
    once. With a ``capacity`` there are that many
    indices, of which ``offsets`` says how many are used, and nothing is read back from a GPU; where more are needed,
    the farthest Gaussians' tiles are left out. Not differentiable. Raises ValueError for a wrong shape, an empty image
    or a capacity below 0, TypeError for dtypes that differ or an order that is not int64.
    """
    sizes: dict[str, int] = {}
    check_shape("rows", rows, ("N", "P"), sizes)
    check_shape("depths", depths, ("N",), sizes)
    check_same_kind("rows", rows, depths=depths)
    if order is not None:
        check_shape("order", order, ("N",), sizes)
        if order.dtype != torch.int64:
            raise TypeError(f"order: wanted int64, found {order.dtype}")
    check_columns(sizes["P"])
    check_size(size)
    if capacity is not None and capacity < 0:
        raise ValueError(f"capacity: wanted 0 or more, found {capacity}")
    with torch.no_grad():
        return Tiles(*INTERSECT(rows, depths, *size, -1 if capacity is None else capacity, order))


def check_columns(columns: int, features: int = 0) -> None:
    """Raise ValueError for rows too short to hold a Gaussian with so many features."""
    if columns < FEATURES + features:
        raise ValueError(f"rows: wanted at least {FEATURES + features} columns, found {columns}")


def check_size(size: tuple[int, int]) -> None:
    """Raise ValueError for an image without pixels."""
    if min(size) < 1:
        raise ValueError(f"size: wanted at least 1x1 pixels, found {size[0]}x{size[1]}")


def columns(pixels: int) -> int:
    """Tiles along an axis."""
    return (pixels + TILE - 1) // TILE


def _reference(
    rows: Tensor, depths: Tensor, width: int, height: int, capacity: int, order: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    nearest_first = by_depth(depths, order)
    pairs = []
    for start, some in enumerate(nearest_first.split(1024)):
        touched = _touches(rows[some], width, height)
        pairs.append(torch.nonzero(touched) + torch.tensor([1024 * start, 0], device=rows.device))
    listed = torch.cat(pairs)
    needed = torch.tensor(len(listed), device=rows.device)
    rank, tile = (listed if capacity < 0 else listed[:capacity]).unbind(-1)
    by_tile = torch.sort(tile, stable=True).indices
    counts = torch.bincount(tile, minlength=columns(width) * columns(height))
    offsets = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
    return _filled(nearest_first[rank[by_tile]].to(torch.int32), capacity), offsets, needed


def _filled(gaussians: Tensor, capacity: int) -> Tensor:
    """With zeros up to the capacity."""
    missing = capacity - len(gaussians)
    return torch.cat([gaussians, gaussians.new_zeros(missing)]) if missing > 0 else gaussians


def _touches(rows: Tensor, width: int, height: int) -> Tensor:
    """Whether each Gaussian's ellipse meets each tile's rectangle of pixel centres, [N T]."""
    a, b, c, opacities = (x[:, None, None] for x in rows[:, 2:FEATURES].unbind(-1))
    left, right = _edges(rows[:, 0], width)
    top, bottom = _edges(rows[:, 1], height)
    left, right, top, bottom = left[:, None, :], right[:, None, :], top[:, :, None], bottom[:, :, None]
    x, y = torch.clamp(torch.zeros_like(left), left, right), torch.clamp(torch.zeros_like(top), top, bottom)
    # The least of a x^2 + 2 b x y + c y^2 over a rectangle lies at its centre or on an edge that faces it.
    on_x = [(x, torch.clamp(-b * x / c, top, bottom)), (torch.clamp(-b * y / a, left, right), y)]
    least = torch.stack([a * u * u + 2 * b * u * v + c * v * v for u, v in on_x]).amin(0)
    reach = 2 * SLACK * torch.log(opacities / LEAST_ALPHA)
    valid = (opacities >= LEAST_ALPHA) & (a > 0) & (c > 0) & (a * c > b * b)
    return (valid & (least <= reach)).flatten(1)


def _edges(centers: Tensor, pixels: int) -> tuple[Tensor, Tensor]:
    """First and last pixel centre of each tile along an axis, relative to ``centers``."""
    first = torch.arange(0, pixels, TILE, device=centers.device).to(centers.dtype) + 0.5
    last = torch.clamp(first + (TILE - 1), max=pixels - 0.5)
    return first - centers[:, None], last - centers[:, None]


def _cpu(
    rows: Tensor, depths: Tensor, width: int, height: int, capacity: int, order: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    if not native.serves(rows, depths):
        return _reference(rows, depths, width, height, capacity, order)
    if order is None:
        return _native(rows, depths, width, height, capacity)
    places, offsets, needed = _native(rows[order], depths[order], width, height, capacity)
    used = order[places[: offsets[-1]]].to(torch.int32)
    return _filled(used, capacity), offsets, needed


def _native(rows: Tensor, depths: Tensor, width: int, height: int, capacity: int) -> tuple[Tensor, Tensor, Tensor]:
    """By the C library; equal depths in the order of the indices."""
    count, tiles = rows.shape[0], columns(width) * columns(height)
    sights = torch.empty(7 * count)
    order = torch.empty(count + 1, dtype=torch.int32)
    cursors = torch.empty(PIECES * tiles, dtype=torch.int32)
    offsets = torch.empty(tiles + 1, dtype=torch.int64)
    sizes = (count, rows.shape[1], width, height)
    native.call("intersect_count", rows.contiguous(), depths.contiguous(), *sizes, sights, order, cursors, offsets)
    needed = offsets[-1].clone()
    if 0 <= capacity < int(needed):
        return _reference(rows, depths, width, height, capacity, None)
    gaussians = torch.empty(int(needed), dtype=torch.int32)
    native.call("intersect_fill", sights, order, count, width, height, cursors, gaussians)
    return _filled(gaussians, capacity), offsets, needed


def _fake(
    rows: Tensor, depths: Tensor, width: int, height: int, capacity: int, order: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    found = torch.library.get_ctx().new_dynamic_size() if capacity < 0 else capacity
    offsets = rows.new_empty(columns(width) * columns(height) + 1, dtype=torch.int64)
    return rows.new_empty(found, dtype=torch.int32), offsets, offsets.new_empty(())


INTERSECT = register(
    "intersect(Tensor rows, Tensor depths, int width, int height, int capacity, Tensor? order)"
    " -> (Tensor, Tensor, Tensor)",
    _reference,
    fake=_fake,
    cpu=_cpu,
    cuda=on_gpu.intersect,
)
