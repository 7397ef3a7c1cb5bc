"""How raw network outputs become densities."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable


def truncated_exp(raw: Float[Tensor, " S"]) -> Float[Tensor, " S"]:
    """``exp(raw)`` with the derivative ``exp(clamp(raw, -15, 15))``, as instant-ngp has it."""
    return _TruncatedExp.apply(raw)  # type: ignore[no-any-return]


def density_of(raw: Float[Tensor, " S"]) -> Float[Tensor, " S"]:
    """The value: past 30 a float32 density times a step is opaque many times over, and its square overflows."""
    return raw.clamp(max=30.0).exp()


def density_slope(density: Float[Tensor, " S"]) -> Float[Tensor, " S"]:
    """The derivative: within e^-15 .. e^15, so that saturated densities neither die nor explode."""
    return density.clamp(3.059e-7, min(3.269e6, torch.finfo(density.dtype).max))


class _TruncatedExp(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, raw: Tensor) -> Tensor:
        density = density_of(raw)
        ctx.save_for_backward(density)
        return density

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (density,) = ctx.saved_tensors
        return gradient * density_slope(density)
