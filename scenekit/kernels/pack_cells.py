"""Occupied cells as bits: a word for 4^3 cells, and behind all of those one for 4^3 of them that hold anything.

Bit ``16 x + 4 y + z`` of word [x, y, z]; sides that are no multiple of 4 are filled up with empty cells. Marchers read
nothing else; who marches through the same cells more than once keeps them beside the cells (``core.rays.Cells``).
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from scenekit.core.rays import Cells
from scenekit.kernels import native
from scenekit.kernels.gpu import march as gpu
from scenekit.kernels.op import register


def pack_cells(occupied: Bool[Tensor, "K G G G"]) -> Int[Tensor, " W"]:
    """The bits (int64) of nested cubes of cells. Raises ValueError for a wrong shape or type."""
    check_cells(occupied)
    return PACK_CELLS(occupied)


def check_cells(cells: Bool[Tensor, "K G G G"] | Cells) -> Cells:
    """Cells as operators take them, packed already or not; raises ValueError for a wrong shape or type."""
    cells = cells if isinstance(cells, Cells) else Cells(cells)
    occupied, packed = cells
    shape = list(occupied.shape)
    if occupied.dtype != torch.bool or len(shape) != 4 or min(shape[:2]) < 1 or shape[1:] != 3 * shape[1:2]:
        raise ValueError(f"occupancy: wanted bool cells [K G G G], found {occupied.dtype} {shape}")
    if shape[0] > 1 and shape[1] % 4:
        raise ValueError(f"occupancy: wanted a multiple of 4 cells a side, found {shape[1]}")
    if packed is not None and (packed.dtype != torch.int64 or packed.shape != (words_of(occupied),)):
        wanted = f"int64 [{words_of(occupied)}]"
        raise ValueError(f"occupancy: wanted bits as {wanted}, found {packed.dtype} {list(packed.shape)}")
    return cells


def packed_or_now(occupied: Tensor, packed: Tensor | None) -> Tensor:
    """The bits of checked cells, found here where nobody has kept them; contiguous."""
    return PACK_CELLS(occupied) if packed is None else packed.contiguous()


def words_of(occupied: Tensor) -> int:
    """How many words such cells take."""
    cascades, grid = occupied.shape[:2]
    return cascades * (gpu.blocks_of(grid) ** 3 + gpu.boxes_of(grid) ** 3)


def _reference(occupied: Tensor) -> Tensor:
    fine = _words(occupied)
    return torch.cat([fine.flatten(), _words(fine != 0).flatten()])


def _words(cells: Tensor) -> Tensor:
    """[K B B B] of [K G G G]."""
    blocks = gpu.blocks_of(cells.shape[1])
    padded = torch.nn.functional.pad(cells.long(), [0, 4 * blocks - cells.shape[1]] * 3)
    apart = padded.reshape(-1, blocks, 4, blocks, 4, blocks, 4).permute(0, 1, 3, 5, 2, 4, 6)
    bits = torch.arange(64, device=cells.device).reshape(4, 4, 4)
    return (apart << bits).sum((-3, -2, -1))


def _cpu(occupied: Tensor) -> Tensor:
    if not native.serves(occupied):
        return _reference(occupied)
    words = torch.empty(words_of(occupied), dtype=torch.int64)
    native.call("pack_cells", occupied.contiguous(), *occupied.shape[:2], words)
    return words


PACK_CELLS = register(
    "pack_cells(Tensor occupied) -> Tensor",
    _reference,
    fake=lambda occupied: occupied.new_empty(words_of(occupied), dtype=torch.int64),
    cpu=_cpu,
    cuda=gpu.pack_cells,
)
