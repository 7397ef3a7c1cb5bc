"""Baked fields as a page holds them: textures cut into chunks, each a run of whole layers.

``occupancy``: a byte a cell, x fastest, cascades one behind the other along z; 0 where rays are sampled, else n where
the cell and the n - 1 cells around it in every direction are empty. ``blocks``: uint16, 1 + the number of the block,
x fastest. ``atlas``: the blocks' 9x9x9 vertices side by side, x fastest, RGBA of the first four values, then of the
others. ``planes``: rows of x y, x z and y z, the first named axis fastest, each with RGBA of the first four values,
then of the others. A byte is a step plus 128. ``network``: float32; per input of a layer the weights to all outputs.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from jaxtyping import Bool, UInt8
from torch import Tensor

from scenekit.assets.web.chunks import Chunk
from scenekit.distill.bake.blocks import SIDE, Blocks
from scenekit.distill.bake.field import DENSITY_REACH, FEATURE_REACH, BakedField, steps_of
from scenekit.distill.bake.renderer import MAX_SAMPLES, BakedRenderer

CHUNK_BYTES = 1 << 20
FARTHEST = 12  # empty cells that a byte of the occupancy tells of
EMPTY_BYTE = 128


def volume_values(renderer: BakedRenderer) -> dict[str, Any]:
    """What the manifest says about a baked field."""
    field, rule = renderer.field, renderer.rule
    return {
        "extent": field.bounds.extent,
        "contracted": field.bounds.contracted,
        "near": field.bounds.near,
        "steps": [rule.smallest, rule.largest, rule.cone],
        "max_samples": MAX_SAMPLES,
        "unit": field.unit,
        "reach": [DENSITY_REACH, FEATURE_REACH],
        "cascades": renderer.occupied.shape[0],
        "grid": renderer.occupied.shape[1],
        "resolution": field.blocks.resolution,
        "atlas": list(_tiles(len(field.blocks))),
        "planes": field.resolution,
    }


@torch.no_grad()
def volume_chunks(renderer: BakedRenderer, *, first_picture: bool = False) -> list[Chunk]:
    """The textures of a baked field, small ones that every ray needs first; a ``first_picture`` is all level 0."""
    field = renderer.field
    small, planes, atlas = (0, 0, 0) if first_picture else (1, 2, 3)
    numbers = field.blocks.numbers.permute(2, 1, 0).contiguous().to(torch.int32)
    matrices = torch.cat([matrix.T.flatten() for matrix in field.network])
    return [
        Chunk("network", small, matrices.cpu().numpy().tobytes(), {"first": 0, "count": 1}),
        *_cut("occupancy", small, empty_around(renderer.occupied).permute(0, 3, 2, 1).flatten(0, 1)),
        *_cut("blocks", small, _words(numbers)),
        *_cut("planes", planes, _planes(field)),
        *_cut("atlas", atlas, _atlas(field.blocks, _bytes(field.grid))),
    ]


def empty_around(occupied: Bool[Tensor, "K G G G"]) -> UInt8[Tensor, "K G G G"]:
    """0 where a cell is occupied, else how many steps away the next occupied cell or the grid's face is, up to 12."""
    reached = occupied.float()[:, None]
    distance = torch.zeros_like(reached)
    for _ in range(FARTHEST):
        distance += 1 - reached
        # What lies outside counts as occupied: a leap never leaves the cascade.
        padded = torch.nn.functional.pad(reached, (1, 1, 1, 1, 1, 1), value=1.0)
        reached = torch.nn.functional.max_pool3d(padded, 3, 1)
    return distance[:, 0].to(torch.uint8)


def _planes(field: BakedField) -> UInt8[Tensor, "L B"]:
    side = field.resolution
    tables = [_bytes(plane)[: side * side].reshape(side, side, 2, 4) for plane in field.planes]
    return torch.stack([table[:, :, half] for table in tables for half in (0, 1)]).flatten(0, 1).flatten(1)


def _atlas(blocks: Blocks, values: UInt8[Tensor, "V 8"]) -> UInt8[Tensor, "L B"]:
    nx, ny, nz = _tiles(len(blocks))
    tiles = torch.full((nx * ny * nz, SIDE**3, 8), EMPTY_BYTE, dtype=torch.uint8, device=values.device)
    tiles[: len(blocks)] = values[blocks.vertices]
    spread = tiles.reshape(nz, ny, nx, SIDE, SIDE, SIDE, 2, 4).permute(6, 0, 3, 1, 4, 2, 5, 7)
    return spread.reshape(2 * nz * SIDE, -1)


def _tiles(count: int) -> tuple[int, int, int]:
    side = max(1, math.ceil(count ** (1 / 3)))
    return side, side, max(1, math.ceil(count / side**2))


def _bytes(stored: Tensor) -> UInt8[Tensor, "N 8"]:
    return (steps_of(stored) + EMPTY_BYTE).to(torch.uint8)


def _words(numbers: Tensor) -> UInt8[Tensor, "L B"]:
    """Little-endian sixteen-bit numbers as bytes."""
    return torch.stack([numbers & 255, numbers >> 8], -1).to(torch.uint8).flatten(1)


def _cut(part: str, level: int, layers: UInt8[Tensor, "L *_rest"]) -> Iterator[Chunk]:
    flat = layers.reshape(len(layers), -1).cpu()
    many = max(1, CHUNK_BYTES // flat.shape[1])
    for first in range(0, len(flat), many):
        some = flat[first : first + many]
        yield Chunk(part, level, some.contiguous().numpy().tobytes(), {"first": first, "count": len(some)})
