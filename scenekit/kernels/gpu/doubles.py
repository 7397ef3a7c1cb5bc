"""Launches of ``cuda/doubles.cu``: as many tensors at once as a launch has room for."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from scenekit.kernels.gpu.compile import Source
from scenekit.kernels.gpu.launch import launch

THREADS = 128
PARTS = 8  # tensors of a launch
NOTHING = (None, 0, 0)
KINDS = (torch.float32, torch.float64, torch.int64, torch.int32)
SOURCE = Source.of("doubles")


def doubles(tensors: Sequence[Tensor]) -> Tensor:
    """All entries in a row."""
    parts = [(x if x.dtype in KINDS else x.double()).contiguous() for x in tensors]
    result = torch.empty(sum(x.numel() for x in parts), dtype=torch.float64, device=parts[0].device)
    place = 0
    for first in range(0, len(parts), PARTS):
        some = parts[first : first + PARTS]
        packed = [x for part in some for x in (part, part.numel(), KINDS.index(part.dtype))]
        launch(SOURCE, "doubles", 1, THREADS, result[place:], *packed, *NOTHING * (PARTS - len(some)))
        place += sum(part.numel() for part in some)
    return result
