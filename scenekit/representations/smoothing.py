"""Total variation of large dense blocks, a random part of them at each step (Plenoxels, section 3.3).

The gradient goes straight to where the gradients of the photographs are: a loss on a part of a table would make
autograd write zeros for all the rest of it.
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
    """A controller: adds ``weight`` times the gradient of the mean squared step between neighbours.

    ``tables`` are dense in three dimensions, each with its weight. In expectation every vertex is pulled as by the
    variation of the whole table.
    """

    def __init__(self, tables: Sequence[tuple[nn.Parameter, float]]) -> None:
        self.tables = tables

    def before_render(self, context: Context) -> None:
        """Nothing."""

    @torch.no_grad()
    def after_backward(self, rendering: Rendering, context: Context) -> None:
        """Pull one random block of every table together; a table without a gradient is left alone."""
        for table, weight in self.tables:
            side = layout_of(3, table.shape[0]).resolutions[0]
            width = max(2, -(-side // PARTS))
            corner = torch.randint(side - width + 1, (3,), generator=context.generator).tolist()
            block = tuple(slice(begin, begin + width) for begin in corner)
            if table.grad is not None:
                values = table.unflatten(0, (side,) * 3)[block]
                table.grad.unflatten(0, (side,) * 3)[block].add_(variation_gradient(values), alpha=weight)

    def after_step(self, context: Context) -> None:
        """Nothing."""

    def state_dict(self) -> dict[str, Any]:
        """Nothing: its randomness is training's own."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Nothing to continue."""


def variation_gradient(values: Tensor) -> Tensor:
    """Gradient of the mean over ``values`` [z y x F] of squared steps along the three axes."""
    gradient = torch.zeros_like(values)
    for axis in range(3):
        step = values.diff(dim=axis) * (2 / values.numel())
        length = values.shape[axis] - 1
        gradient.narrow(axis, 1, length).add_(step)
        gradient.narrow(axis, 0, length).sub_(step)
    return gradient
