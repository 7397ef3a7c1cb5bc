"""Small multilayer perceptrons without biases: ReLU between layers, nothing after the last.

The CPU body takes a block of samples through all layers at once and finds the hidden activations again in the
backward pass, so that no activation ever reaches main memory. On a GPU there are two such bodies: an exact one in
float32, and one on tensor cores where ``torch.get_float32_matmul_precision()`` is not ``"highest"``. That one rounds
what it multiplies to half precision (numbers beyond 65504 to that), sums in float32, and keeps the digits of gradients
of any size; a gradient that is no number makes all of them so.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from scenekit.core.checks import check_same_kind, check_shape
from scenekit.kernels import native
from scenekit.kernels.gpu import mlp as gpu
from scenekit.kernels.gpu import mlp_half as gpu_half
from scenekit.kernels.op import below_autograd, once_differentiable, reference_gradients, register


def mlp(inputs: Float[Tensor, "S I"], weights: Sequence[Float[Tensor, "_out _in"]]) -> Float[Tensor, "S O"]:
    """``W_n relu(... relu(W_1 x))`` of each row x; gradients to inputs and weights.

    Inputs may stand by feature, with strides (1, S): they are read so, and so does their gradient stand.
    Raises ValueError for shapes that do not chain, TypeError where dtypes or devices differ.
    """
    if not weights:
        raise ValueError("weights: wanted at least one matrix, found none")
    check_shape("inputs", inputs, ("S", "I"), {})
    widths = [inputs.shape[1]]
    for index, weight in enumerate(weights):
        check_shape(f"weights[{index}]", weight, ("out", widths[-1]), {})
        check_same_kind("inputs", inputs, **{f"weights[{index}]": weight})
        widths.append(weight.shape[0])
    return MLP(inputs, torch.cat([weight.flatten() for weight in weights]), widths)


def _matrices(weights: Tensor, widths: Sequence[int]) -> list[Tensor]:
    shapes = [(out, width) for width, out in itertools.pairwise(widths)]
    parts = weights.split([math.prod(shape) for shape in shapes])
    return [part.view(shape) for part, shape in zip(parts, shapes, strict=True)]


def _reference(inputs: Tensor, weights: Tensor, widths: Sequence[int]) -> Tensor:
    *hidden, last = _matrices(weights, widths)
    for weight in hidden:
        inputs = torch.relu(inputs @ weight.T)
    return inputs @ last.T


def _backward_reference(
    gradient: Tensor, inputs: Tensor, weights: Tensor, widths: Sequence[int], to_inputs: bool
) -> tuple[Tensor, Tensor]:
    wanted = (0, 1) if to_inputs else (1,)
    found = reference_gradients(_reference, (inputs, weights, widths), wanted, (gradient,))
    return (as_stands(inputs, found[0]), found[1]) if to_inputs else (inputs.new_empty(0), found[0])


def as_stands(rows: Tensor, gradient: Tensor) -> Tensor:
    """The gradient in memory as ``rows`` are, by sample or by feature: grids on a GPU have features by feature."""
    by_feature = rows.stride(0) < rows.stride(1)
    return gradient.t().contiguous().t() if by_feature else gradient.contiguous()


@lru_cache(maxsize=64)
def _packed(widths: tuple[int, ...]) -> Tensor:
    """The widths in memory the C library can walk."""
    return torch.tensor(widths)


def _is_native(tensors: Sequence[Tensor], widths: Sequence[int]) -> bool:
    return native.serves(*tensors) and min(widths) > 0


def _cpu(inputs: Tensor, weights: Tensor, widths: Sequence[int]) -> Tensor:
    if not _is_native((inputs, weights), widths):
        return _reference(inputs, weights, widths)
    inputs, weights = inputs.contiguous(), weights.contiguous()
    result = inputs.new_empty(inputs.shape[0], widths[-1])
    native.call("mlp", inputs, weights, inputs.shape[0], _packed(tuple(widths)), len(widths) - 1, result)
    return result


def _backward_cpu(
    gradient: Tensor, inputs: Tensor, weights: Tensor, widths: Sequence[int], to_inputs: bool
) -> tuple[Tensor, Tensor]:
    if not _is_native((gradient, inputs, weights), widths):
        return _backward_reference(gradient, inputs, weights, widths, to_inputs)
    gradient, rows, weights = gradient.contiguous(), inputs.contiguous(), weights.contiguous()
    for_weights, for_inputs = torch.empty_like(weights), torch.empty_like(rows) if to_inputs else None
    sizes = (inputs.shape[0], _packed(tuple(widths)), len(widths) - 1)
    native.call("mlp_backward", gradient, rows, weights, *sizes, for_weights, for_inputs)
    return inputs.new_empty(0) if for_inputs is None else as_stands(inputs, for_inputs), for_weights


def _cuda(inputs: Tensor, weights: Tensor, widths: Sequence[int]) -> Tensor:
    if _in_half(inputs, widths):
        return gpu_half.forward(inputs, weights, widths)
    body = gpu.forward if gpu.takes(widths) else _reference
    return body(inputs, weights, widths)


def _backward_cuda(
    gradient: Tensor, inputs: Tensor, weights: Tensor, widths: Sequence[int], to_inputs: bool
) -> tuple[Tensor, Tensor]:
    if _in_half(inputs, widths):
        return gpu_half.backward(gradient, inputs, weights, widths, to_inputs)
    body = gpu.backward if gpu.takes(widths) else _backward_reference
    return body(gradient, inputs, weights, widths, to_inputs)


def _in_half(inputs: Tensor, widths: Sequence[int]) -> bool:
    """Whether operands may be rounded to half precision: torch's own switch says so, and the layers fit."""
    return gpu_half.allowed() and gpu_half.takes(widths, inputs.device)


def _backward_fake(
    gradient: Tensor, inputs: Tensor, weights: Tensor, widths: Sequence[int], to_inputs: bool
) -> tuple[Tensor, Tensor]:
    for_inputs = as_stands(inputs, inputs.new_empty(inputs.shape)) if to_inputs else inputs.new_empty(0)
    return for_inputs, torch.empty_like(weights)


class _Mlp(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, inputs: Tensor, weights: Tensor, widths: Sequence[int]) -> Tensor:
        ctx.save_for_backward(inputs, weights)
        ctx.widths = widths
        return below_autograd("mlp", inputs, weights, widths)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        inputs, weights = ctx.saved_tensors
        to_inputs = ctx.needs_input_grad[0]
        found = torch.ops.scenekit.mlp_backward(gradients[0], inputs, weights, ctx.widths, to_inputs)
        return found[0] if to_inputs else None, found[1], None


MLP = register(
    "mlp(Tensor inputs, Tensor weights, int[] widths) -> Tensor",
    _reference,
    fake=lambda inputs, weights, widths: inputs.new_empty(inputs.shape[0], widths[-1]),
    cpu=_cpu,
    cuda=_cuda,
    autograd=_Mlp,
)
MLP_BACKWARD = register(
    "mlp_backward(Tensor gradient, Tensor inputs, Tensor weights, int[] widths, bool to_inputs) "
    "-> (Tensor for_inputs, Tensor for_weights)",
    _backward_reference,
    fake=_backward_fake,
    cpu=_backward_cpu,
    cuda=_backward_cuda,
)
