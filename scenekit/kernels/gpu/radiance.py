"""Launches of ``cuda/radiance.cu`` and ``cuda/radiance_backward.cu``: operands in half precision, sums in float32."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

from scenekit.kernels.gpu import layers
from scenekit.kernels.gpu.compile import Source
from scenekit.kernels.gpu.launch import WARP, aligned, blocks_for, launch, multiprocessors, shared_memory, standing
from scenekit.kernels.gpu.layers import LARGEST_THREADS, MOST_PARTS, SIDE, SQUARE_BYTES, SUM_WARPS, Chain, Launch, Plan

LARGEST_FOURS = 2

# The first that fits is taken.
FORWARD = (Plan(4, 2, 4), Plan(4, 2, 3), Plan(8, 2, 1), Plan(8, 2, 1, weights_stay=False))
BACKWARD = (Plan(4, 2, 2), *layers.BACKWARD)


@dataclass(frozen=True)
class Shape:
    """What kernels are specialised by.

    Attributes:
        density: widths of the density network, the encoding's first.
        color: widths of the colour network; its inputs are outputs of the other and harmonics.
        degree: of the harmonics.
    """

    density: tuple[int, ...]
    color: tuple[int, ...]
    degree: int

    @property
    def chain(self) -> Chain:
        """Both networks' layers."""
        return Chain(self.density + self.color[1:], len(self.density) - 1, (self.degree + 1) ** 2)


class Inputs(NamedTuple):
    """What both passes take."""

    encoded: Tensor
    directions: Tensor
    density_weights: Tensor
    color_weights: Tensor


class Gradients(NamedTuple):
    """Of :class:`Inputs`; empty where not wanted."""

    encoded: Tensor
    directions: Tensor
    density_weights: Tensor
    color_weights: Tensor


def takes(shape: Shape, device: torch.device) -> bool:
    """Whether the kernels have room for such networks on such a GPU."""
    memory = shared_memory(device)
    return None not in (forward_plan(shape, memory), backward_plan(shape, memory))


def forward(inputs: Inputs, shape: Shape, log_density: float, plan: Plan | None = None) -> tuple[Tensor, Tensor]:
    """Densities [S] and colours [S 3]; ``plan`` is for comparing them."""
    count, (encoded, by_feature) = len(inputs.encoded), standing(inputs.encoded)
    directions, *weights = map(aligned, inputs[1:])
    of = _forward(shape, plan or forward_plan(shape, shared_memory(encoded.device)), encoded.device)
    densities, colors = encoded.new_empty(count), encoded.new_empty(count, 3)
    arguments = (encoded, by_feature, directions, count, *weights, log_density, densities, colors)
    launch(of.source, "radiance", of.blocks_for(count), of.plan.threads, *arguments, shared=of.shared)
    return densities, colors


def backward(
    gradients: Sequence[Tensor],
    results: Sequence[Tensor],
    inputs: Inputs,
    shape: Shape,
    wanted: Sequence[bool],
    plan: Plan | None = None,
) -> Gradients:
    """From those of densities and colours, the results; the same bits always.

    ``wanted``: whether those of encodings, and of directions, are; ``plan`` as in forward.
    """
    count, (encoded, by_feature) = len(inputs.encoded), standing(inputs.encoded)
    directions, *weights = map(aligned, inputs[1:])
    given = [aligned(x) for x in (*gradients, *results)]
    of = _backward(shape, plan or backward_plan(shape, shared_memory(encoded.device)), encoded.device)
    blocks, entries = of.blocks_for(count), _weight_squares(shape) * SIDE**2
    of_largest = min(MOST_PARTS, blocks_for(count, LARGEST_FOURS * LARGEST_THREADS))
    parts = torch.empty(2, of_largest, dtype=torch.int32, device=encoded.device)
    sums, for_weights = encoded.new_empty(blocks, entries), [torch.empty_like(x) for x in weights]
    for_encoded, for_directions = (
        torch.empty_like(x) if want else None for x, want in zip((encoded, directions), wanted, strict=True)
    )
    launch(of.source, "radiance_largest", of_largest, LARGEST_THREADS, *given, count, parts)
    arguments = (*given, encoded, by_feature, directions, count, *weights, parts, of_largest, sums)
    found = (for_encoded, for_directions)
    launch(of.source, "radiance_backward", blocks, of.plan.threads, *arguments, *found, shared=of.shared)
    launch(of.source, "radiance_sum", entries // WARP, WARP * SUM_WARPS, sums, blocks, *for_weights)
    none = encoded.new_empty(0)
    if for_encoded is not None and by_feature:
        for_encoded = for_encoded.t()
    return Gradients(*(none if x is None else x for x in (for_encoded, for_directions)), *for_weights)


def sources(shape: Shape, memory: int) -> list[Source]:
    """Of both passes, for multiprocessors with so many bytes of shared memory; none where the kernels have no room."""
    there, back = forward_plan(shape, memory), backward_plan(shape, memory)
    return [] if there is None or back is None else [source(shape, there), backward_source(shape, back)]


@lru_cache(maxsize=64)
def _forward(shape: Shape, plan: Plan | None, device: torch.device) -> Launch:
    assert plan is not None, "takes() has said so"
    shared = shape.chain.weight_bytes(plan) + _harmonics(shape) * plan.warps * plan.height
    return Launch(source(shape, plan), plan, plan.blocks * multiprocessors(device), shared)


@lru_cache(maxsize=64)
def _backward(shape: Shape, plan: Plan | None, device: torch.device) -> Launch:
    assert plan is not None, "takes() has said so"
    shared = shape.chain.weight_bytes(plan) + shape.chain.value_bytes(plan)
    return Launch(backward_source(shape, plan), plan, plan.blocks * multiprocessors(device), shared)


@lru_cache(maxsize=64)
def _weight_squares(shape: Shape) -> int:
    return shape.chain.weight_squares


def source(shape: Shape, plan: Plan) -> Source:
    """Specialised by all widths, the degree and how blocks share the work."""
    return Source.of("radiance", DEGREE=shape.degree, **shape.chain.macros(plan))


def backward_source(shape: Shape, plan: Plan) -> Source:
    """As :func:`source`."""
    return Source.of(
        "radiance_backward", DEGREE=shape.degree, SUMS_STAY=int(plan.sums_stay), **shape.chain.macros(plan)
    )


@lru_cache(maxsize=64)
def forward_plan(shape: Shape, memory: int) -> Plan | None:
    """For multiprocessors with so many bytes of shared memory; None where nothing fits."""
    return layers.forward_plan(shape.chain, FORWARD, memory, _harmonics(shape))


@lru_cache(maxsize=64)
def backward_plan(shape: Shape, memory: int) -> Plan | None:
    """As :func:`forward_plan`."""
    return layers.backward_plan(shape.chain, BACKWARD, memory)


def _harmonics(shape: Shape) -> int:
    """Bytes of shared memory for those of 16 samples."""
    return SQUARE_BYTES * blocks_for((shape.degree + 1) ** 2, SIDE)
