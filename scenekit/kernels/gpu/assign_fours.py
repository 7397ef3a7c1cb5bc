"""Launches of ``cuda/assign_fours.cu``."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from scenekit.kernels.gpu.compile import Source
from scenekit.kernels.gpu.launch import blocks_for, launch

THREADS = 128
SOURCE = Source.of("assign_fours")


def assign_fours_(values: Tensor, order: Tensor, target: Tensor, groups: Tensor, layout: Sequence[int]) -> Tensor:
    """Move rows and their numbers in place; by how much the sum of squared distances fell, float64 [1]."""
    (height, width, channels), side = values.shape, layout[0]
    blocks = (height // side) * (width // side) if side >= 2 else 0
    launched = blocks_for(blocks * len(groups), THREADS)
    rows, numbers = values.contiguous(), order.contiguous()
    gains = values.new_empty(launched)
    arguments = (rows, numbers, target.contiguous(), height, width, channels, groups.contiguous(), len(groups))
    launch(SOURCE, "assign_fours", launched, THREADS, *arguments, *layout, gains)
    for old, new in ((values, rows), (order, numbers)):
        if new is not old:
            old.copy_(new)
    return gains.sum(0, keepdim=True, dtype=torch.float64)
