"""Small constants where they are needed: copied to a device once, for a step that is recorded may copy nothing."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor


@lru_cache(maxsize=256)
def constant(values: tuple[float, ...], device: torch.device, dtype: torch.dtype = torch.float32) -> Tensor:
    """``values`` [N] on ``device``; the same tensor every time, never to be changed."""
    return torch.tensor(values, device=device, dtype=dtype)
