"""What share of the light each step of a ray holds back: ``1 - exp(-density * length)``."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from scenekit.core.checks import check_same_kind, check_shape
from scenekit.kernels.gpu import step_alphas as gpu
from scenekit.kernels.op import below_autograd, once_differentiable, register


def step_alphas(densities: Float[Tensor, " S"], deltas: Float[Tensor, " S"]) -> Float[Tensor, " S"]:
    """Of steps of lengths ``deltas`` through ``densities``; differentiable in these.

    Raises ValueError for a wrong shape, TypeError where dtypes or devices differ.
    """
    sizes: dict[str, int] = {}
    check_shape("densities", densities, ("S",), sizes)
    check_shape("deltas", deltas, ("S",), sizes)
    check_same_kind("densities", densities, deltas=deltas)
    return STEP_ALPHAS(densities, deltas)


def _reference(densities: Tensor, deltas: Tensor) -> Tensor:
    return -torch.expm1(-densities * deltas)


def _backward_reference(gradient: Tensor, alphas: Tensor, deltas: Tensor) -> Tensor:
    return gradient * (1 - alphas) * deltas


class _StepAlphas(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, densities: Tensor, deltas: Tensor) -> Tensor:
        alphas = below_autograd("step_alphas", densities, deltas)
        ctx.save_for_backward(alphas, deltas)
        return alphas

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return torch.ops.scenekit.step_alphas_backward(gradients[0], *ctx.saved_tensors), None


STEP_ALPHAS = register(
    "step_alphas(Tensor densities, Tensor deltas) -> Tensor",
    _reference,
    fake=lambda densities, _: densities.new_empty(densities.shape),
    cuda=gpu.step_alphas,
    autograd=_StepAlphas,
)
STEP_ALPHAS_BACKWARD = register(
    "step_alphas_backward(Tensor gradient, Tensor alphas, Tensor deltas) -> Tensor",
    _backward_reference,
    fake=lambda gradient, *_: gradient.new_empty(gradient.shape),
    cuda=gpu.step_alphas_backward,
)
