"""Pictures of one size as one tensor."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def stacked(pictures: Sequence[Tensor]) -> Tensor:
    """One picture, as in most steps, is not copied."""
    return pictures[0][None] if len(pictures) == 1 else torch.stack(tuple(pictures))
