"""Launches of ``cuda/mlp.cu``."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from scenekit.kernels.gpu.compile import Source
from scenekit.kernels.gpu.launch import blocks_for, launch, standing

THREADS = 128
TILE = 64  # samples that a block takes through all layers
MOST_WIDTH = 128  # of a layer: two buffers of activations are then the 64 KiB that every GPU has
MOST_BLOCKS = 256  # of the backward pass, each with a sum of its own
SOURCE = Source.of("mlp")


class Packed(NamedTuple):
    """Weights as kernels read them: two layouts with rows of whole fours."""

    widths: Tensor
    forward: Tensor
    backward: Tensor


def takes(widths: Sequence[int]) -> bool:
    """Whether the kernels have room for such layers."""
    return min(widths) > 0 and max(widths) <= MOST_WIDTH


def forward(inputs: Tensor, weights: Tensor, widths: Sequence[int]) -> Tensor:
    """Outputs [S O] of inputs that stand by sample or by feature."""
    count, (inputs, by_feature) = inputs.shape[0], standing(inputs)
    packed = pack(weights, widths)
    result = inputs.new_empty(count, widths[-1])
    room = max(_padded(width) for width in widths[:-1])
    arguments = (inputs, by_feature, count, packed.widths, len(widths) - 1, packed.forward, room, result)
    launch(SOURCE, "mlp", blocks_for(count, TILE), THREADS, *arguments, shared=2 * room * TILE * 4)
    return result


def backward(
    gradient: Tensor, inputs: Tensor, weights: Tensor, widths: Sequence[int], to_inputs: bool
) -> tuple[Tensor, Tensor]:
    """Gradients of inputs (as they stand; empty where not wanted) and weights; the same bits always."""
    count, (inputs, by_feature) = inputs.shape[0], standing(inputs)
    gradient = gradient.contiguous()
    packed, layers = pack(weights, widths), len(widths) - 1
    blocks = min(MOST_BLOCKS, blocks_for(count, TILE))
    stretch, room = TILE * sum(map(_padded, widths[:-1])), max(map(_padded, widths[1:]))
    values = inputs.new_empty(blocks, stretch)
    sums = inputs.new_empty(blocks, weights.numel())
    for_inputs = torch.empty_like(inputs) if to_inputs else None
    for_weights = weights.new_empty(weights.numel())
    given = (gradient, inputs, by_feature, count, packed.widths, layers)
    packs = (packed.forward, packed.backward, packed.backward.numel())
    arguments = (*given, *packs, room, values, stretch, sums, weights.numel(), for_inputs)
    launch(SOURCE, "mlp_backward", blocks, THREADS, *arguments, shared=2 * room * TILE * 4)
    arguments = (sums, blocks, weights.numel(), for_weights)
    launch(SOURCE, "mlp_sum", blocks_for(weights.numel(), THREADS), THREADS, *arguments)
    if for_inputs is None:
        return inputs.new_empty(0), for_weights
    return for_inputs.t() if by_feature else for_inputs, for_weights


def pack(weights: Tensor, widths: Sequence[int]) -> Packed:
    """Both layouts of all layers' weights, which stand one after the other as [out in]."""
    pairs = list(pairwise(widths))
    packed = Packed(
        _kept(tuple(widths), weights.device),
        weights.new_empty(sum(a * _padded(b) for a, b in pairs)),
        weights.new_empty(sum(b * _padded(a) for a, b in pairs)),
    )
    launch(SOURCE, "mlp_pack", (16, len(pairs)), THREADS, weights.contiguous(), *packed)
    return packed


def _padded(width: int) -> int:
    return -(-width // 4) * 4


@lru_cache(maxsize=64)
def _kept(widths: tuple[int, ...], device: torch.device) -> Tensor:
    return torch.tensor(widths).to(device)
