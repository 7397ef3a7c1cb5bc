"""Splats by depth, nearest first."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int64
from torch import Tensor


def by_depth(depths: Float[Tensor, " N"], order: Int64[Tensor, " N"] | None) -> Int64[Tensor, " N"]:
    """Indices; those of equal depths as they come in ``order``, or as they are where there is none."""
    if order is None:
        return torch.sort(depths, stable=True).indices
    return order.index_select(0, torch.sort(depths.index_select(0, order), stable=True).indices)
