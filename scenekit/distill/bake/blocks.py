"""The sparse grid of a baked field: blocks of 8 cells a side where something is, sharing the vertices between them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from scenekit.core.bounds import Bounds

BLOCK = 8  # cells along a side
SIDE = BLOCK + 1  # vertices: a block has those of all its faces, so that a texture can interpolate inside of it
MOST_BLOCKS = 65535  # a page names a block with sixteen bits
FEW_BLOCKS = 20_000  # about 2 kB each in a page: together with the planes some 50 MB
RESOLUTIONS = (512, 384, 256, 128)  # that are tried where none is asked for


@dataclass(frozen=True)
class Blocks:
    """M blocks of a grid over [0, 1]^3, and the V different vertices they have.

    Attributes:
        resolution: cells along a side of the whole grid.
        numbers: 1 + the number of the block at [x y z], 0 where there is none.
        vertices: rows of a block's vertices, x fastest.
        places: of the vertices, in cells from the grid's corner.
    """

    resolution: int
    numbers: Int[Tensor, "B B B"]
    vertices: Int[Tensor, "M 729"]
    places: Int[Tensor, "V 3"]

    def __len__(self) -> int:
        return len(self.vertices)


def blocks_where(bounds: Bounds, occupied: Bool[Tensor, "K G G G"], resolution: int) -> Blocks:
    """The blocks of a grid of ``resolution`` cells that occupied cells reach into, in ``bounds``' unit cube."""
    return _numbered(resolution, _touched(bounds, occupied, resolution))


def finest_blocks(bounds: Bounds, occupied: Bool[Tensor, "K G G G"]) -> Blocks:
    """As :func:`blocks_where`, of the finest of ``RESOLUTIONS`` that has few, or of the coarsest."""
    for resolution in RESOLUTIONS[:-1]:
        touched = _touched(bounds, occupied, resolution)
        if int(touched.sum()) <= FEW_BLOCKS:
            return _numbered(resolution, touched)
    return blocks_where(bounds, occupied, RESOLUTIONS[-1])


def _touched(bounds: Bounds, occupied: Bool[Tensor, "K G G G"], resolution: int) -> Bool[Tensor, "B B B"]:
    touched = torch.zeros((resolution // BLOCK,) * 3, dtype=torch.bool, device=occupied.device)
    grid = occupied.shape[1]
    across = max(3, -(-len(touched) // grid) + 1)  # no block lies between two of them
    corners = torch.cartesian_prod(*[torch.linspace(1e-4, 1 - 1e-4, across, device=occupied.device)] * 3)
    for k, cascade in enumerate(occupied):
        cells = cascade.nonzero().float()
        for some in cells.split(1 << 16):
            inside = (some[:, None] + corners).reshape(-1, 3)
            unit = bounds.normalize((inside * (2 / grid) - 1) * 2.0**k)
            block = (unit * len(touched)).long().clamp(0, len(touched) - 1)
            touched[block.unbind(-1)] = True
    return touched


def _numbered(resolution: int, touched: Bool[Tensor, "B B B"]) -> Blocks:
    where = touched.nonzero()
    numbers = torch.zeros_like(touched, dtype=torch.int64)
    numbers[where.unbind(-1)] = torch.arange(1, len(where) + 1, device=where.device)
    step = torch.arange(SIDE, device=where.device)
    local = torch.cartesian_prod(step, step, step).flip(-1)  # x fastest
    every = where[:, None] * BLOCK + local
    keys = (every[..., 0] * (resolution + 1) + every[..., 1]) * (resolution + 1) + every[..., 2]
    unique, rows = keys.unique(return_inverse=True)
    places = torch.stack(
        [unique // (resolution + 1) ** 2, unique // (resolution + 1) % (resolution + 1), unique % (resolution + 1)], -1
    )
    return Blocks(resolution, numbers, rows.reshape(len(where), SIDE**3), places)


def corners_of(
    blocks: Blocks, unit: Float[Tensor, "S 3"]
) -> tuple[Bool[Tensor, " S"], Int[Tensor, "S 8"], Float[Tensor, "S 8"]]:
    """Whether there is a block, and rows and weights of the eight vertices about each position in [0, 1]^3."""
    scaled = unit * blocks.resolution
    cell = scaled.floor().clamp(0, blocks.resolution - 1)
    part = scaled - cell
    cell = cell.long()
    number = blocks.numbers[(cell // BLOCK).unbind(-1)]
    x, y, z = (cell % BLOCK).unbind(-1)
    first = x + SIDE * y + SIDE * SIDE * z
    corner = torch.arange(8, device=first.device)
    steps = (corner & 1) + SIDE * (corner >> 1 & 1) + SIDE * SIDE * (corner >> 2)
    rows = blocks.vertices[(number - 1).clamp(min=0)[:, None], first[:, None] + steps]
    low, high = 1 - part, part
    weights = [
        (high if i else low)[:, 0] * (high if j else low)[:, 1] * (high if k else low)[:, 2]
        for k in (0, 1)
        for j in (0, 1)
        for i in (0, 1)
    ]
    return number > 0, rows, torch.stack(weights, -1)
