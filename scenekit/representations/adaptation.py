"""Moves an adaptive encoding of a field to where the field has grown dense."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from scenekit.core.protocols import Change, Context, ParameterGroup, Rendering

PROBES = 2**16
STRETCH = 1 / 64  # of the cube's side: opacity over it says how much there is


@runtime_checkable
class AdaptiveEncoding(Protocol):
    """An encoding that adapts, of points in the unit cube."""

    def adapt(self, points: Tensor, weights: Tensor, generator: torch.Generator | None = None) -> None:
        """See :class:`~scenekit.core.protocols.Adaptive`."""
        ...

    def parameter_groups(self) -> list[ParameterGroup]:
        """What learns, and how."""
        ...


class Adaptation:
    """A controller: once ``start`` is reached, probes the opacity of the field and adapts its encoding to that.

    Half of the probes are anywhere; the rest are near those that met something, so that thin surfaces count.
    """

    def __init__(
        self, encoding: AdaptiveEncoding, opacity: Callable[[Tensor, float], Tensor], start: float = 0.2
    ) -> None:
        self.encoding = encoding
        self.opacity = opacity
        self.start = start
        self.done = False
        self._moved = False

    @torch.no_grad()
    def before_render(self, context: Context) -> None:
        """Adapt if it is time and if there is anything."""
        if self.done or context.progress < self.start:
            return
        self.done = True
        device = None if context.generator is None else context.generator.device
        points = torch.rand(PROBES, 3, generator=context.generator, device=device)
        weights = self.opacity(points, STRETCH)
        fog = weights.median()  # what training has not cleared yet is no place for detail
        weights = (weights - fog).clamp(min=0)
        if not (weights > 0).any():
            return
        chosen = torch.multinomial(weights, PROBES, replacement=True, generator=context.generator)
        apart = STRETCH / 2 * torch.randn(PROBES, 3, generator=context.generator, device=device)
        near = (points[chosen] + apart).clamp(0, 1)
        # Nearby probes are drawn by weight already: each is worth less, or dense places would count twice.
        share = (self.opacity(near, STRETCH) - fog).clamp(min=0) * weights.mean()
        self.encoding.adapt(torch.cat([points, near]), torch.cat([weights, share]), context.generator)
        self._moved = True

    def after_backward(self, rendering: Rendering, context: Context) -> Change | None:
        """What was learnt of the moved features is forgotten, by the optimizer too."""
        if not self._moved:
            return None
        self._moved = False
        values = {name: p for group in self.encoding.parameter_groups() for name, p in group.parameters.items()}
        return Change.replacing({"encoding.values": values["encoding.values"].detach().clone()})

    def after_step(self, context: Context) -> None:
        """Nothing."""

    def state_dict(self) -> dict[str, Any]:
        """Whether it is over; where the functions are is the encoding's."""
        return {"done": self.done}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue."""
        self.done = bool(state["done"])
