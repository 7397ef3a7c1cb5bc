"""Total variation of large dense blocks, made less in a random part of them at each step (Plenoxels, section 3.3).

Vertices move towards their neighbours beside the optimizer, not through it: Adam takes steps of one length however
small a gradient is, so that vertices that no ray corrects would shake instead of becoming smooth. A loss on a part of
a table would also make autograd write zeros for all the rest of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from scenekit.core.protocols import Context, Rendering
from scenekit.representations.planes import layout_of

PARTS = 4  # the random block is this many times narrower than the grid


class Smoothing:
    """A controller: diffusion of ``tables``, dense in three dimensions, each with its weight.

    The weight is the share of the difference to a neighbour that a visited vertex gives up when training begins, at
    most 1/6; it falls to zero as training ends.
    """

    def __init__(self, tables: Sequence[tuple[nn.Parameter, float]]) -> None:
        self.tables = tables

    def before_render(self, context: Context) -> None:
        """Nothing."""

    def after_backward(self, rendering: Rendering, context: Context) -> None:
        """Nothing."""

    @torch.no_grad()
    def after_step(self, context: Context) -> None:
        """Let one random block of every table diffuse."""
        device = None if context.generator is None else context.generator.device
        for table, weight in self.tables:
            side = layout_of(3, table.shape[0]).resolutions[0]
            width = max(2, -(-side // PARTS))
            corner = torch.randint(side - width + 1, (3,), generator=context.generator, device=device).tolist()
            block = table.unflatten(0, (side,) * 3)[tuple(slice(begin, begin + width) for begin in corner)]
            block.add_(diffusion(block), alpha=weight * (1 - context.progress))

    def state_dict(self) -> dict[str, Any]:
        """Nothing: its randomness is training's own."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Nothing to continue."""


def diffusion(values: Tensor) -> Tensor:
    """Sum of the differences to the neighbours of ``values`` [z y x F]; what flows out of one flows into another."""
    flow = torch.zeros_like(values)
    for axis in range(3):
        step = values.diff(dim=axis)
        length = values.shape[axis] - 1
        flow.narrow(axis, 0, length).add_(step)
        flow.narrow(axis, 1, length).sub_(step)
    return flow
