"""One step of Adam in place, dense or on the touched entries alone (Kingma and Ba, algorithm 1).

What changes from step to step is read from a tensor beside the parameters, so that a step captured in a CUDA graph can
be repeated with other rates.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int32
from torch import Tensor

from scenekit.core.checks import check_same_kind
from scenekit.kernels import native
from scenekit.kernels.gpu import adam as gpu
from scenekit.kernels.op import register

NUMBERS = 6  # of a row: the members of ``AdamStep`` in ``cuda/adam.h``


def adam_numbers(
    *,
    learning_rate: float,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    step: int,
) -> list[float]:
    """One row of the numbers that :func:`adam_` takes; ``step`` counts from 1 and corrects the moments' bias.

    ``weight_decay`` is added to the gradient as ``weight_decay * parameter``. Raises ValueError where ``step`` is
    below 1.
    """
    if step < 1:
        raise ValueError(f"step: wanted 1 or more, found {step}")
    first, second = betas
    return [learning_rate / (1 - first**step), first, second, eps, weight_decay, (1 - second**step) ** -0.5]


def adam_(  # noqa: PLR0913 (four lists that go together, as torch.optim has them)
    parameters: Sequence[Tensor],
    gradients: Sequence[Tensor],
    moments1: Sequence[Tensor],
    moments2: Sequence[Tensor],
    numbers: Float[Tensor, "T 6"],
    *,
    rows: Sequence[int] | None = None,
    sparse: Sequence[bool] | None = None,
    clear: bool = False,
    bad: Int32[Tensor, " T"] | None = None,
) -> None:
    """Update ``parameters`` and their moments, all at once.

    Parameter ``i`` takes row ``rows[i]`` of ``numbers``, or row ``i``. ``sparse`` ones leave entries whose gradient is
    exactly 0 as they are, moments included: what a batch of rays does to a hash table. With ``clear`` the gradients are
    zero afterwards. With ``bad``, entries whose gradient is NaN or infinite are left as they are, and those that had
    any get a 1 in their row; nothing else is written there. Not differentiable. Raises ValueError where shapes differ,
    TypeError where dtypes do.
    """
    count = len(parameters)
    rows = range(count) if rows is None else rows
    sparse = [False] * count if sparse is None else sparse
    if {len(x) for x in (gradients, moments1, moments2, rows, sparse)} != {count}:
        raise ValueError(f"adam_: wanted as many of everything as of parameters, {count}")
    for part in zip(parameters, gradients, moments1, moments2, strict=True):
        _check(*part)
    if numbers.dim() != 2 or numbers.shape[1] != NUMBERS or not all(0 <= row < len(numbers) for row in rows):
        raise ValueError(
            f"numbers: wanted [T {NUMBERS}] with a row for each of {list(rows)}, found {list(numbers.shape)}"
        )
    if parameters and numbers.device != parameters[0].device:
        raise ValueError(f"numbers: wanted on {parameters[0].device} like the parameters, found {numbers.device}")
    if bad is not None and (bad.shape != numbers.shape[:1] or bad.dtype != torch.int32):
        raise ValueError(f"bad: wanted int32 [{len(numbers)}], found {bad.dtype} {list(bad.shape)}")
    with torch.no_grad():
        ADAM(
            list(parameters), list(gradients), list(moments1), list(moments2), numbers, list(rows), list(sparse), clear,
            bad,
        )  # fmt: skip


def _check(parameter: Tensor, gradient: Tensor, moment1: Tensor, moment2: Tensor) -> None:
    check_same_kind("parameter", parameter, gradient=gradient, moment1=moment1, moment2=moment2)
    for name, tensor in (("gradient", gradient), ("moment1", moment1), ("moment2", moment2)):
        if tensor.shape != parameter.shape:
            raise ValueError(f"{name}: wanted shape {list(parameter.shape)} like parameter, found {list(tensor.shape)}")


class _Arguments(NamedTuple):
    """As the schema has them."""

    parameters: Sequence[Tensor]
    gradients: Sequence[Tensor]
    moments1: Sequence[Tensor]
    moments2: Sequence[Tensor]
    numbers: Tensor
    rows: Sequence[int]
    sparse: Sequence[bool]
    clear: bool
    bad: Tensor | None

    def parts(self) -> Iterator[_Part]:
        """What belongs to each parameter."""
        states = zip(self.parameters, self.gradients, self.moments1, self.moments2, strict=True)
        for state, row, sparse in zip(states, self.rows, self.sparse, strict=True):
            bad = None if self.bad is None else self.bad[row]
            yield _Part(state, self.numbers[row], sparse, self.clear, bad)


class _Part(NamedTuple):
    state: tuple[Tensor, Tensor, Tensor, Tensor]
    numbers: Tensor
    sparse: bool
    clear: bool
    bad: Tensor | None


def _reference(*arguments: Any) -> None:
    for part in _Arguments(*arguments).parts():
        _reference_step(part)


def _reference_step(part: _Part) -> None:
    parameter, gradient, moment1, moment2 = part.state
    wide = torch.promote_types(parameter.dtype, torch.float32)
    rate, beta1, beta2, eps, weight_decay, inverse_correction = part.numbers.to(wide).unbind()
    value, slope = parameter.to(wide), gradient.to(wide)
    slope = slope + weight_decay * value
    first = torch.lerp(moment1.to(wide), slope, 1 - beta1)
    second = moment2.to(wide) * beta2 + slope.square() * (1 - beta2)
    value = value - rate * first / (second.sqrt() * inverse_correction + eps)
    kept = gradient == 0 if part.sparse else torch.zeros_like(gradient, dtype=torch.bool)
    if part.bad is not None:
        wrong = ~gradient.isfinite()
        kept = kept | wrong
        part.bad.copy_(torch.where(wrong.any(), 1, part.bad))
    for old, new in ((parameter, value), (moment1, first), (moment2, second)):
        old.copy_(torch.where(kept, old, new.to(old.dtype)))
    if part.clear:
        gradient.zero_()


def _cpu(*arguments: Any) -> None:
    for part in _Arguments(*arguments).parts():
        if not native.serves(*part.state, part.numbers):
            _reference_step(part)
            continue
        arrays = [x.contiguous() for x in part.state]
        how = (part.numbers.contiguous(), int(part.sparse), int(part.clear), part.bad)
        native.call("adam", *arrays, arrays[0].numel(), *how)
        for i, (old, new) in enumerate(zip(part.state, arrays, strict=True)):
            if new is not old and (part.clear or i != 1):
                old.copy_(new)


def _cuda(*arguments: Any) -> None:
    a = _Arguments(*arguments)
    tensors = list(zip(a.parameters, a.gradients, a.moments1, a.moments2, strict=True))
    gpu.step_(tensors, a.numbers, a.rows, a.sparse, a.clear, a.bad)


ADAM = register(
    "adam_(Tensor(a!)[] parameters, Tensor(b!)[] gradients, Tensor(c!)[] moments1, Tensor(d!)[] moments2, "
    "Tensor numbers, int[] rows, bool[] sparse, bool clear, Tensor(e!)? bad) -> ()",
    _reference,
    fake=lambda *_: None,
    cpu=_cpu,
    cuda=_cuda,
)
