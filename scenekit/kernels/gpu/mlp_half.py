"""Launches of ``cuda/mlp_half.cu`` and ``cuda/mlp_half_backward.cu``: operands in half precision, sums in float32."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import torch
from torch import Tensor

from scenekit.kernels.gpu.compile import Source
from scenekit.kernels.gpu.launch import WARP, aligned, blocks_for, launch, multiprocessors, shared_memory, standing

MOST_WIDTH, MOST_LAYERS = 128, 5  # what registers of a warp hold, and what compiles in seconds
SIDE = 16  # samples or channels of a square
SQUARE_BYTES = 2 * SIDE**2
REGISTERS = 2**16  # of a multiprocessor
MOST_REGISTERS = 255  # of a thread
RESERVED = 1024  # bytes of shared memory that each block costs beside its own
LARGEST_THREADS, LARGEST_FOURS, MOST_PARTS = 256, 4, 512
SUM_WARPS = 16


@dataclass(frozen=True)
class Plan:
    """How blocks share the work.

    Attributes:
        warps: of a block, a power of two.
        height: squares of 16 samples that a warp takes at once.
        blocks: that a multiprocessor holds.
        sums_stay: whether a block's gradients of weights are kept in registers, or in memory of its own.
        weights_stay: whether the weights of all layers lie in shared memory, or those of one layer at a time.
        ahead: whether rows are brought into the L2 cache a tile ahead of their use.
    """

    warps: int
    height: int
    blocks: int
    sums_stay: bool = True
    weights_stay: bool = True
    ahead: bool = True

    @property
    def tile(self) -> int:
        """Samples that a block takes at once."""
        return SIDE * self.height * self.warps

    def macros(self, widths: Sequence[int]) -> dict[str, int | str]:
        """Of the kernel."""
        return {
            "WIDTHS": ",".join(map(str, widths)),
            "WARPS": self.warps,
            "HEIGHT": self.height,
            "BLOCKS": self.blocks,
            "WEIGHTS_STAY": int(self.weights_stay),
            "AHEAD": int(self.ahead),
        }


# The first that fits is taken: many warps, which hide what others wait for, before much of anything in registers.
FORWARD = (Plan(4, 2, 4), Plan(8, 2, 1), Plan(8, 2, 1, weights_stay=False))
BACKWARD = (
    Plan(4, 2, 3),
    Plan(8, 1, 2),
    Plan(16, 1, 1),
    Plan(8, 1, 1),
    Plan(16, 1, 1, sums_stay=False),
    Plan(8, 1, 1, sums_stay=False),
    Plan(8, 1, 1, sums_stay=False, weights_stay=False),
    Plan(4, 1, 1, sums_stay=False, weights_stay=False),
)


@dataclass(frozen=True)
class Launch:
    """What the launches of one network on one GPU have in common.

    Attributes:
        source: specialised by widths and plan.
        tile: samples that a block takes at once.
        blocks: that the GPU holds.
        threads: of a block.
        shared: bytes of shared memory of a block.
    """

    source: Source
    tile: int
    blocks: int
    threads: int
    shared: int

    def blocks_for(self, count: int) -> int:
        """No more than there are tiles."""
        return min(self.blocks, blocks_for(count, self.tile))


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
    launch(of.source, "mlp_half", of.blocks_for(count), of.threads, *arguments, shared=of.shared)
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
    blocks, entries = of.blocks_for(count), _weight_squares(widths) * SIDE**2
    of_largest = min(MOST_PARTS, blocks_for(gradient.numel(), 4 * LARGEST_FOURS * LARGEST_THREADS))
    parts = torch.empty(of_largest, dtype=torch.int32, device=inputs.device)
    sums, for_weights = inputs.new_empty(blocks, entries), torch.empty_like(weights)
    for_inputs = torch.empty_like(inputs) if to_inputs else None
    launch(of.source, "mlp_half_largest", of_largest, LARGEST_THREADS, gradient, gradient.numel(), parts)
    arguments = (gradient, inputs, by_feature, count, weights, parts, of_largest, sums, for_inputs)
    launch(of.source, "mlp_half_backward", blocks, of.threads, *arguments, shared=of.shared)
    launch(of.source, "mlp_half_sum", entries // WARP, WARP * SUM_WARPS, sums, blocks, for_weights)
    if for_inputs is None:
        return inputs.new_empty(0), for_weights
    return for_inputs.t() if by_feature else for_inputs, for_weights


@lru_cache(maxsize=64)
def _forward(widths: tuple[int, ...], plan: Plan | None, device: torch.device) -> Launch:
    assert plan is not None, "takes() has said so"
    blocks = plan.blocks * multiprocessors(device)
    return Launch(source(plan, widths), plan.tile, blocks, WARP * plan.warps, _weight_bytes(widths, plan))


@lru_cache(maxsize=64)
def _backward(widths: tuple[int, ...], plan: Plan | None, device: torch.device) -> Launch:
    assert plan is not None, "takes() has said so"
    blocks, shared = plan.blocks * multiprocessors(device), _weight_bytes(widths, plan) + _value_bytes(widths, plan)
    return Launch(backward_source(plan, widths), plan.tile, blocks, WARP * plan.warps, shared)


def sources(widths: Sequence[int], memory: int) -> list[Source]:
    """Of both passes, for multiprocessors with so many bytes of shared memory; none where the kernels have no room."""
    there, back = forward_plan(tuple(widths), memory), backward_plan(tuple(widths), memory)
    return [] if there is None or back is None else [source(there, widths), backward_source(back, widths)]


def source(plan: Plan, widths: Sequence[int]) -> Source:
    """Specialised by all widths and by how blocks share the work."""
    return Source.of("mlp_half", **plan.macros(widths))


def backward_source(plan: Plan, widths: Sequence[int]) -> Source:
    """As :func:`source`."""
    return Source.of("mlp_half_backward", SUMS_STAY=int(plan.sums_stay), **plan.macros(widths))


@lru_cache(maxsize=64)
def forward_plan(widths: tuple[int, ...], memory: int) -> Plan | None:
    """For multiprocessors with so many bytes of shared memory; None where nothing fits."""

    def fits(plan: Plan) -> bool:
        return _live(widths, plan) <= _registers(plan) and _shares(plan, _weight_bytes(widths, plan), memory)

    return next(filter(fits, FORWARD), None) if _served(widths) else None


@lru_cache(maxsize=64)
def backward_plan(widths: tuple[int, ...], memory: int) -> Plan | None:
    """As :func:`forward_plan`."""

    def fits(plan: Plan) -> bool:
        sums = 8 * sum(_slices(widths, plan)) if plan.sums_stay else 0
        shared = _weight_bytes(widths, plan) + _value_bytes(widths, plan)
        return _live(widths, plan) + sums <= _registers(plan) and _shares(plan, shared, memory)

    return next(filter(fits, BACKWARD), None) if _served(widths) else None


def _served(widths: Sequence[int]) -> bool:
    return min(widths) > 0 and max(widths) <= MOST_WIDTH and len(widths) - 1 <= MOST_LAYERS


def _squares(width: int) -> int:
    return -(-width // SIDE)


def _weight_squares(widths: Sequence[int]) -> int:
    return sum(_squares(a) * _squares(b) for a, b in pairwise(widths))


def _weight_bytes(widths: Sequence[int], plan: Plan) -> int:
    """Of shared memory, for weights."""
    layers = [_squares(a) * _squares(b) for a, b in pairwise(widths)]
    return SQUARE_BYTES * (sum(layers) if plan.weights_stay else max(layers))


def _value_bytes(widths: Sequence[int], plan: Plan) -> int:
    """Of shared memory, for what layers take in and give out."""
    return SQUARE_BYTES * plan.warps * plan.height * sum(map(_squares, widths))


def _slices(widths: Sequence[int], plan: Plan) -> list[int]:
    """Squares of each layer's weights that a warp sums, as ``Slice`` of the kernel lays them out."""
    downs = [down for down in (1, 2, 4, 8, 16) if down <= plan.warps]
    return [
        min(blocks_for(_squares(b), down) * blocks_for(_squares(a), plan.warps // down) for down in downs)
        for a, b in pairwise(widths)
    ]


def _live(widths: Sequence[int], plan: Plan) -> int:
    """Registers that a thread needs: a layer's inputs and outputs, sums of one square, and what compilers want."""
    return plan.height * (4 * max(_squares(a) + _squares(b) for a, b in pairwise(widths)) + 8) + 44


def _registers(plan: Plan) -> int:
    """That a thread may have."""
    return min(MOST_REGISTERS, REGISTERS // (WARP * plan.warps * plan.blocks))


def _shares(plan: Plan, shared: int, memory: int) -> bool:
    return plan.blocks * (shared + RESERVED) <= memory
