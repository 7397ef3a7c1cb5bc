"""Launches of ``cuda/mlp_half.cu`` and ``cuda/mlp_half_backward.cu``: operands in half precision, sums in float32."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor

from scenekit.kernels.gpu import layers
from scenekit.kernels.gpu.compile import Source
from scenekit.kernels.gpu.launch import WARP, aligned, blocks_for, launch, multiprocessors, shared_memory, standing
from scenekit.kernels.gpu.layers import LARGEST_THREADS, MOST_PARTS, SIDE, SUM_WARPS, Chain, Launch, Plan

LARGEST_FOURS = 4

# The first that fits is taken: many warps, which hide what others wait for, before much of anything in registers.
FORWARD = (Plan(4, 2, 4), Plan(8, 2, 1), Plan(8, 2, 1, weights_stay=False))
BACKWARD = (Plan(4, 2, 3), *layers.BACKWARD)


def allowed() -> bool:
    """Whether torch's own switch allows products of less than float32."""
    try:
        return torch.get_float32_matmul_precision() != "highest"
    except RuntimeError:  # it was set by its newer name, which the older one does not know of
        return torch.backends.cuda.matmul.fp32_precision not in ("ieee", "none")


def takes(widths: Sequence[int], device: torch.device) -> bool:
    """Whether the kernels have room for such layers on such a GPU."""
    memory = shared_memory(device)
    return None not in (forward_plan(tuple(widths), memory), backward_plan(tuple(widths), memory))


def forward(inputs: Tensor, weights: Tensor, widths: Sequence[int], plan: Plan | None = None) -> Tensor:
    """Outputs [S O] of inputs that stand by sample or by feature; ``plan`` is for comparing them."""
    (inputs, by_feature), weights, count = standing(inputs), aligned(weights), inputs.shape[0]
    plan = plan or forward_plan(tuple(widths), shared_memory(inputs.device))
    of = _forward(tuple(widths), plan, inputs.device)
    result = inputs.new_empty(count, widths[-1])
    arguments = (inputs, by_feature, count, weights, result)
    launch(of.source, "mlp_half", of.blocks_for(count), of.plan.threads, *arguments, shared=of.shared)
    return result


def backward(
    gradient: Tensor,
    inputs: Tensor,
    weights: Tensor,
    widths: Sequence[int],
    to_inputs: bool,
    plan: Plan | None = None,
) -> tuple[Tensor, Tensor]:
    """Gradients of inputs (as they stand; empty where not wanted) and weights; the same bits always.

    ``plan`` as in forward.
    """
    count, (inputs, by_feature) = inputs.shape[0], standing(inputs)
    gradient, weights = aligned(gradient), aligned(weights)
    plan = plan or backward_plan(tuple(widths), shared_memory(inputs.device))
    of = _backward(tuple(widths), plan, inputs.device)
    blocks, entries = of.blocks_for(count), Chain(tuple(widths)).weight_squares * SIDE**2
    of_largest = min(MOST_PARTS, blocks_for(gradient.numel(), 4 * LARGEST_FOURS * LARGEST_THREADS))
    parts = torch.empty(of_largest, dtype=torch.int32, device=inputs.device)
    sums, for_weights = inputs.new_empty(blocks, entries), torch.empty_like(weights)
    for_inputs = torch.empty_like(inputs) if to_inputs else None
    launch(of.source, "mlp_half_largest", of_largest, LARGEST_THREADS, gradient, gradient.numel(), parts)
    arguments = (gradient, inputs, by_feature, count, weights, parts, of_largest, sums, for_inputs)
    launch(of.source, "mlp_half_backward", blocks, of.plan.threads, *arguments, shared=of.shared)
    launch(of.source, "mlp_half_sum", entries // WARP, WARP * SUM_WARPS, sums, blocks, for_weights)
    if for_inputs is None:
        return inputs.new_empty(0), for_weights
    return for_inputs.t() if by_feature else for_inputs, for_weights


@lru_cache(maxsize=64)
def _forward(widths: tuple[int, ...], plan: Plan | None, device: torch.device) -> Launch:
    assert plan is not None, "takes() has said so"
    blocks = plan.blocks * multiprocessors(device)
    return Launch(source(plan, widths), plan, blocks, Chain(widths).weight_bytes(plan))


@lru_cache(maxsize=64)
def _backward(widths: tuple[int, ...], plan: Plan | None, device: torch.device) -> Launch:
    assert plan is not None, "takes() has said so"
    chain, blocks = Chain(widths), plan.blocks * multiprocessors(device)
    return Launch(backward_source(plan, widths), plan, blocks, chain.weight_bytes(plan) + chain.value_bytes(plan))


def sources(widths: Sequence[int], memory: int) -> list[Source]:
    """Of both passes, for multiprocessors with so many bytes of shared memory; none where the kernels have no room."""
    there, back = forward_plan(tuple(widths), memory), backward_plan(tuple(widths), memory)
    return [] if there is None or back is None else [source(there, widths), backward_source(back, widths)]


def source(plan: Plan, widths: Sequence[int]) -> Source:
    """Specialised by all widths and by how blocks share the work."""
    return Source.of("mlp_half", **Chain(tuple(widths)).macros(plan))


def backward_source(plan: Plan, widths: Sequence[int]) -> Source:
    """As :func:`source`."""
    return Source.of("mlp_half_backward", SUMS_STAY=int(plan.sums_stay), **Chain(tuple(widths)).macros(plan))


@lru_cache(maxsize=64)
def forward_plan(widths: tuple[int, ...], memory: int) -> Plan | None:
    """For multiprocessors with so many bytes of shared memory; None where nothing fits."""
    return layers.forward_plan(Chain(widths), FORWARD, memory)


@lru_cache(maxsize=64)
def backward_plan(widths: tuple[int, ...], memory: int) -> Plan | None:
    """As :func:`forward_plan`."""
    return layers.backward_plan(Chain(widths), BACKWARD, memory)
