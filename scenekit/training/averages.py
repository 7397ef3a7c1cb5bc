"""An exponential moving average of the parameters, taken over the last part of training and used for judging."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from scenekit.core.protocols import Context, ParameterGroup, Rendering


class Averages:
    """A controller: averages every parameter with ``decay`` a step once progress has passed ``start``.

    With a falling learning rate only the last steps matter, so the earlier ones cost nothing.
    """

    def __init__(self, groups: Sequence[ParameterGroup], decay: float = 0.95, start: float = 0.9) -> None:
        self._parameters = {name: p for group in groups for name, p in group.parameters.items()}
        self.decay = decay
        self.start = start
        self._averages: dict[str, Tensor] = {}

    def before_render(self, context: Context) -> None:
        """Nothing: training goes on with the live parameters."""

    def after_backward(self, rendering: Rendering, context: Context) -> None:
        """Nothing."""

    @torch.no_grad()
    def after_step(self, context: Context) -> None:
        """Move the averages towards the parameters."""
        if context.progress < self.start:
            return
        if not self._averages:
            self._averages = {name: p.detach().clone() for name, p in self._parameters.items()}
            return
        for name, parameter in self._parameters.items():
            self._averages[name].lerp_(parameter.detach(), 1 - self.decay)

    @torch.no_grad()
    def finish(self) -> None:
        """Put the averages in the parameters' place: the scene is judged and kept with them."""
        for name, average in self._averages.items():
            self._parameters[name].data.copy_(average)
        self._averages = {}

    def state_dict(self) -> dict[str, Any]:
        """The averages so far."""
        return {"averages": dict(self._averages)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue."""
        self._averages = dict(state["averages"])
