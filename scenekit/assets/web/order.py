"""In which order splats travel: the most important ones first, and within a share, neighbours together."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from scenekit.core.bounds import contract
from scenekit.core.protocols import Splats

BLOCK = 16384  # splats of a block at most; the most important ones make a page's first picture
SHARES = (1 / 16, 3 / 16, 12 / 16)  # of the splats, by falling importance: the levels after that one block
MORTON_BITS = 16


def blocks_by_importance(splats: Splats) -> list[tuple[int, Int[Tensor, " n"]]]:
    """Level and rows of every block, in the order in which they should arrive.

    Level 0 is one block, so that a first picture takes the same bytes and time however large the scene is. Every
    level after it holds its share of all splats, cut along a Morton curve: a block is small in space, so that 16 bits a
    coordinate suffice, and a page can prefer the blocks that are in view.
    """
    importance = splats.opacities * _areas(splats.scales)
    ranked = torch.sort(importance, descending=True, stable=True).indices
    codes = morton_codes(splats.means)
    ends = [BLOCK, *(BLOCK + round(sum(SHARES[:n]) * max(0, len(ranked) - BLOCK)) for n in range(1, len(SHARES)))]
    blocks: list[tuple[int, Tensor]] = []
    for level, rows in enumerate(ranked.tensor_split(ends)):
        along = rows[torch.sort(codes[rows], stable=True).indices]
        blocks += [(level, part) for part in along.split(BLOCK) if len(part)]
    return blocks


def morton_codes(positions: Float[Tensor, "N 3"]) -> Int[Tensor, " N"]:
    """Places along a Morton curve through contracted space, so that a few far splats do not coarsen the rest."""
    if len(positions) == 0:
        return torch.zeros(0, dtype=torch.int64)
    middle = positions.median(0).values
    spread = (positions - middle).abs().median(0).values.max().clamp(min=1e-9)
    unit = contract((positions - middle) / (2 * spread)) / 4 + 0.5
    cells = (unit * (2**MORTON_BITS - 1)).long().clamp(0, 2**MORTON_BITS - 1)
    codes = torch.zeros(len(positions), dtype=torch.int64)
    for bit in range(MORTON_BITS):
        for axis in range(3):
            codes |= ((cells[:, axis] >> bit) & 1) << (3 * bit + axis)
    return codes


def _areas(scales: Float[Tensor, "N 3"]) -> Float[Tensor, " N"]:
    """The largest cross-section of each ellipsoid, up to a constant."""
    ordered = scales.sort(-1).values
    return ordered[:, 1] * ordered[:, 2]
