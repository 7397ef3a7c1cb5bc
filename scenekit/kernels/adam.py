"""One step of Adam in place, dense or on the touched entries alone (Kingma and Ba, algorithm 1)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from scenekit.core.checks import check_same_kind
from scenekit.kernels import native
from scenekit.kernels.gpu import adam as gpu
from scenekit.kernels.op import register


def adam_(  # noqa: PLR0913 (the settings keep the names that torch.optim.Adam gave them)
    parameter: Float[Tensor, "*n"],
    gradient: Float[Tensor, "*n"],
    moment1: Float[Tensor, "*n"],
    moment2: Float[Tensor, "*n"],
    *,
    learning_rate: float,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    step: int,
    sparse: bool = False,
) -> None:
    """Update ``parameter`` and its moments; ``step`` counts from 1 and corrects the moments' bias.

    ``weight_decay`` is added to the gradient as ``weight_decay * parameter``. ``sparse`` leaves entries whose
    gradient is exactly 0 as they are, moments included: what a batch of rays does to a hash table. Not
    differentiable. Raises ValueError where shapes differ or ``step`` is below 1, TypeError where dtypes do.
    """
    check_same_kind("parameter", parameter, gradient=gradient, moment1=moment1, moment2=moment2)
    for name, tensor in (("gradient", gradient), ("moment1", moment1), ("moment2", moment2)):
        if tensor.shape != parameter.shape:
            raise ValueError(f"{name}: wanted shape {list(parameter.shape)} like parameter, found {list(tensor.shape)}")
    if step < 1:
        raise ValueError(f"step: wanted 1 or more, found {step}")
    settings = [learning_rate, *betas, eps, weight_decay]
    with torch.no_grad():
        ADAM(parameter, gradient, moment1, moment2, settings, step, sparse)


def _reference(
    parameter: Tensor,
    gradient: Tensor,
    moment1: Tensor,
    moment2: Tensor,
    settings: Sequence[float],
    step: int,
    sparse: bool,
) -> None:
    rate, beta1, beta2, eps, weight_decay = settings
    wide = torch.promote_types(parameter.dtype, torch.float32)
    value, slope = parameter.to(wide), gradient.to(wide)
    slope = slope + weight_decay * value
    first = torch.lerp(moment1.to(wide), slope, 1 - beta1)
    second = moment2.to(wide) * beta2 + slope.square() * (1 - beta2)
    deviation = (second / (1 - beta2**step)).sqrt() + eps
    value = value - rate / (1 - beta1**step) * first / deviation
    for old, new in ((parameter, value), (moment1, first), (moment2, second)):
        old.copy_(torch.where(gradient == 0, old, new.to(old.dtype)) if sparse else new)


def _cpu(
    parameter: Tensor,
    gradient: Tensor,
    moment1: Tensor,
    moment2: Tensor,
    settings: Sequence[float],
    step: int,
    sparse: bool,
) -> None:
    if not native.serves(parameter, gradient, moment1, moment2):
        return _reference(parameter, gradient, moment1, moment2, settings, step, sparse)
    packed = torch.tensor(_numbers(settings, step), dtype=torch.float32)
    changed = (parameter, moment1, moment2)
    value, first, second = (x.contiguous() for x in changed)
    native.call("adam", value, gradient.contiguous(), first, second, value.numel(), packed, int(sparse))
    for old, new in zip(changed, (value, first, second), strict=True):
        if new is not old:
            old.copy_(new)
    return None


def _numbers(settings: Sequence[float], step: int) -> list[float]:
    """The members of ``AdamStep``."""
    rate, beta1, beta2, eps, weight_decay = settings
    return [rate / (1 - beta1**step), beta1, beta2, eps, weight_decay, (1 - beta2**step) ** -0.5]


def _cuda(
    parameter: Tensor,
    gradient: Tensor,
    moment1: Tensor,
    moment2: Tensor,
    settings: Sequence[float],
    step: int,
    sparse: bool,
) -> None:
    gpu.step_((parameter, moment1, moment2), gradient, _numbers(settings, step), sparse)


ADAM = register(
    "adam_(Tensor(a!) parameter, Tensor gradient, Tensor(b!) moment1, Tensor(c!) moment2, float[] settings, "
    "int step, bool sparse) -> ()",
    _reference,
    fake=lambda *_: None,
    cpu=_cpu,
    cuda=_cuda,
)
