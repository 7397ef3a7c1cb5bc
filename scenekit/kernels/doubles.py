"""Numbers of any kinds as one row in float64: what is read back from a GPU together."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float64
from torch import Tensor

from scenekit.kernels.gpu import doubles as gpu
from scenekit.kernels.op import register


def doubles(tensors: Sequence[Tensor]) -> Float64[Tensor, " N"]:
    """All entries of some tensors of one device, one after the other; not differentiable.

    Raises ValueError where there is no tensor, or they are of several devices.
    """
    if len({tensor.device for tensor in tensors}) != 1:
        raise ValueError(f"tensors: wanted some of one device, found those of {[str(t.device) for t in tensors]}")
    return DOUBLES([tensor.detach() for tensor in tensors])


def _reference(tensors: Sequence[Tensor]) -> Tensor:
    return torch.cat([tensor.double().flatten() for tensor in tensors])


def _fake(tensors: Sequence[Tensor]) -> Tensor:
    return tensors[0].new_empty(sum(tensor.numel() for tensor in tensors), dtype=torch.float64)


DOUBLES = register(
    "doubles(Tensor[] tensors) -> Tensor",
    _reference,
    fake=_fake,
    cuda=gpu.doubles,
    cuda_dtypes=(torch.float32, torch.float64),
)
