"""Rows of splats as the kernels read them: in whole float4."""

from __future__ import annotations

import torch
from torch import Tensor

from scenekit.kernels.gpu.launch import aligned


def whole(rows: Tensor) -> Tensor:
    """With as many columns of zeros as make a multiple of four; the same tensor where nothing is to be done."""
    missing = -rows.shape[1] % 4
    return aligned(torch.nn.functional.pad(rows, (0, missing)) if missing else rows)


def stride(rows: Tensor) -> int:
    """How many float4 the whole rows are apart."""
    return rows.shape[1] // 4
