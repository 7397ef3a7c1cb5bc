"""Running sums of floats whose order of additions torch may have asked to be fixed.

On a GPU torch's own ``cumsum`` of floats has no fixed order, and refuses where deterministic algorithms are wanted.
There each pass adds what lies a power of two before: elementwise sums, the same bits every time.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def running_sums(values: Float[Tensor, "*b N"]) -> Float[Tensor, "*b N"]:
    """Of each entry of the last dimension and all before it."""
    if values.is_cuda and torch.are_deterministic_algorithms_enabled():
        return by_doubling(values)
    return values.cumsum(-1)


def by_doubling(values: Float[Tensor, "*b N"]) -> Float[Tensor, "*b N"]:
    """The same in log2(N) passes over all (Hillis and Steele 1986)."""
    sums, reach = values, 1
    while reach < values.shape[-1]:
        sums = torch.cat([sums[..., :reach], sums[..., reach:] + sums[..., :-reach]], -1)
        reach *= 2
    return sums
