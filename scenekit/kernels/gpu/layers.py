"""How blocks share the work of a chain of dense layers on tensor cores (``cuda/layers.cuh``)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from scenekit.kernels.gpu.compile import Source
from scenekit.kernels.gpu.launch import WARP, blocks_for

MOST_WIDTH, MOST_LAYERS = 128, 5  # of a network: what registers of a warp hold, and what compiles in seconds
SIDE = 16  # samples or channels of a square
SQUARE_BYTES = 2 * SIDE**2
REGISTERS = 2**16  # of a multiprocessor
MOST_REGISTERS = 255  # of a thread
RESERVED = 1024  # bytes of shared memory that each block costs beside its own
LARGEST_THREADS, MOST_PARTS = 256, 512
SUM_WARPS = 16


@dataclass(frozen=True)
class Plan:
    """How blocks share the work.

    Attributes:
        warps: of a block, a power of two.
        height: squares of 16 samples that a warp takes at once, 1 or 2.
        blocks: that a multiprocessor holds.
        sums_stay: whether a block's gradients of weights are kept in registers, or in memory of its own.
        weights_stay: whether the weights of all layers lie in shared memory, or those of one layer at a time.
        ahead: whether strips are brought into the L2 cache a tile ahead of their use.
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

    @property
    def threads(self) -> int:
        """Of a block."""
        return WARP * self.warps

    @property
    def registers(self) -> int:
        """That a thread may have."""
        return min(MOST_REGISTERS, REGISTERS // (self.threads * self.blocks))

    def shares(self, shared: int, memory: int) -> bool:
        """Whether multiprocessors with ``memory`` bytes of shared memory hold its blocks, with ``shared`` each."""
        return self.blocks * (shared + RESERVED) <= memory


# Of backward passes, in the order in which they are tried behind what each knows to be better where it fits.
BACKWARD = (
    Plan(8, 1, 2),
    Plan(16, 1, 1),
    Plan(8, 1, 1),
    Plan(16, 1, 1, sums_stay=False),
    Plan(8, 1, 1, sums_stay=False),
    Plan(8, 1, 1, sums_stay=False, weights_stay=False),
    Plan(4, 1, 1, sums_stay=False, weights_stay=False),
)


@dataclass(frozen=True)
class Chain:
    """Layers one after the other.

    Attributes:
        widths: of all layers, the inputs' first.
        joint: the layer that begins a second network; -1 where there is one alone.
        joined: inputs of that layer beside what the first network gives.
    """

    widths: tuple[int, ...]
    joint: int = -1
    joined: int = 0

    @property
    def served(self) -> bool:
        """Whether there are kernels for such layers at all."""
        begins = max(0, self.joint)
        depths = begins, len(self.widths) - 1 - begins
        narrow = min(self.widths) > 0 and SIDE * max(self._wide()) <= MOST_WIDTH
        return narrow and max(depths) <= MOST_LAYERS and self.joint != 0

    @property
    def weight_squares(self) -> int:
        """Of all layers."""
        return sum(a * b for a, b in self._layers())

    def macros(self, plan: Plan) -> dict[str, int | str]:
        """Of the kernels."""
        return {
            "WIDTHS": ",".join(map(str, self.widths)),
            "JOINT": self.joint,
            "JOINED": self.joined,
            "WARPS": plan.warps,
            "HEIGHT": plan.height,
            "BLOCKS": plan.blocks,
            "WEIGHTS_STAY": int(plan.weights_stay),
            "AHEAD": int(plan.ahead),
        }

    def weight_bytes(self, plan: Plan) -> int:
        """Of a block's shared memory, for weights."""
        squares = [a * b for a, b in self._layers()]
        return SQUARE_BYTES * (sum(squares) if plan.weights_stay else max(squares))

    def value_bytes(self, plan: Plan) -> int:
        """Of a block's shared memory, for what layers take in and give out."""
        return SQUARE_BYTES * plan.warps * plan.height * sum(self._wide())

    def sums(self, plan: Plan) -> int:
        """Squares of weights that a warp sums, as ``Slice`` of the kernel lays them out."""
        downs = [down for down in (1, 2, 4, 8, 16) if down <= plan.warps]
        return sum(
            min(blocks_for(b, down) * blocks_for(a, plan.warps // down) for down in downs) for a, b in self._layers()
        )

    def live(self, plan: Plan) -> int:
        """Registers of a thread: a layer's inputs and outputs, sums of one square, and what compilers want."""
        return plan.height * (4 * max(a + b for a, b in self._layers()) + 8) + 44

    def _wide(self) -> list[int]:
        """Squares that each layer's inputs, and the last outputs, take."""
        return [
            blocks_for(width, SIDE) + (blocks_for(self.joined, SIDE) if layer == self.joint else 0)
            for layer, width in enumerate(self.widths)
        ]

    def _layers(self) -> list[tuple[int, int]]:
        """Squares of each layer's inputs and outputs."""
        outputs = [blocks_for(width, SIDE) for width in self.widths[1:]]
        return list(zip(self._wide()[:-1], outputs, strict=True))


@dataclass(frozen=True)
class Launch:
    """What the launches of one chain on one GPU have in common.

    Attributes:
        source: specialised by widths and plan.
        plan: of its blocks.
        blocks: that the GPU holds.
        shared: bytes of shared memory of a block.
    """

    source: Source
    plan: Plan
    blocks: int
    shared: int

    def blocks_for(self, count: int) -> int:
        """No more than there are tiles."""
        return min(self.blocks, blocks_for(count, self.plan.tile))


def forward_plan(chain: Chain, plans: Sequence[Plan], memory: int, beside: int = 0) -> Plan | None:
    """The first that fits multiprocessors with so much shared memory; ``beside`` are bytes of it for 16 samples."""

    def fits(plan: Plan) -> bool:
        shared = chain.weight_bytes(plan) + beside * plan.warps * plan.height
        return chain.live(plan) <= plan.registers and plan.shares(shared, memory)

    return next(filter(fits, plans), None) if chain.served else None


def backward_plan(chain: Chain, plans: Sequence[Plan], memory: int) -> Plan | None:
    """As :func:`forward_plan`."""

    def fits(plan: Plan) -> bool:
        registers = chain.live(plan) + (8 * chain.sums(plan) if plan.sums_stay else 0)
        return registers <= plan.registers and plan.shares(chain.weight_bytes(plan) + chain.value_bytes(plan), memory)

    return next(filter(fits, plans), None) if chain.served else None
