"""Launches of ``cuda/adam.cu``."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from scenekit.kernels.gpu.compile import Source
from scenekit.kernels.gpu.launch import blocks_for, launch

THREADS = 256
PIECE = 16 * THREADS  # entries of a block
PARTS = 8  # tensors of a launch
NOTHING = (None, None, None, None, 0, 0)
SOURCE = Source.of("adam")


def step_(
    tensors: Sequence[tuple[Tensor, Tensor, Tensor, Tensor]],
    numbers: Tensor,
    rows: Sequence[int],
    sparse: Sequence[bool],
    clear: bool,
    bad: Tensor | None,
) -> None:
    """Change parameters and moments in place, and gradients where they are to ``clear``.

    ``tensors`` are parameter, gradient and both moments of each; ``numbers`` and ``bad`` as the op takes them.
    """
    numbers = numbers.contiguous()
    found = None if bad is None else bad.contiguous()
    parts = list(zip(tensors, rows, sparse, strict=True))
    for first in range(0, len(parts), PARTS):
        _launch(parts[first : first + PARTS], numbers, clear, found)
    if bad is not None and found is not None and found is not bad:
        bad.copy_(found)


def _launch(
    parts: Sequence[tuple[tuple[Tensor, ...], int, bool]], numbers: Tensor, clear: bool, bad: Tensor | None
) -> None:
    packed, blocks, copies = [], 0, []
    for tensors, row, sparse in parts:
        arrays = [x.contiguous() for x in tensors]
        changed = [i for i in range(4) if arrays[i] is not tensors[i] and (clear or i != 1)]
        copies += [(tensors[i], arrays[i]) for i in changed]
        whole = not any(x.data_ptr() % 16 for x in arrays)
        count = arrays[0].numel()
        packed += [*arrays, count, 4 * row + 2 * sparse + whole]
        blocks += blocks_for(count, PIECE)
    packed += NOTHING * (PARTS - len(parts))
    launch(SOURCE, "adam", blocks, THREADS, numbers, clear, bad, *packed)
    for old, new in copies:
        old.copy_(new)
