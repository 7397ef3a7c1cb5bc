"""An objective of points: a field against the values of a signal that it samples as it goes."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from scenekit.core.point_fields import PointField
from scenekit.core.protocols import Context, ParameterGroup
from scenekit.core.tone import shown
from scenekit.data.signals import Points, Signal
from scenekit.training.losses import Loss
from scenekit.training.objective import Outcome

PROBE = 2**16  # points that a target PSNR is judged on


@dataclass
class PointSamples:
    """See :class:`~scenekit.training.objective.Objective`.

    Attributes:
        learner: the module whose state is kept; the field is part of it.
        field: what answers for points.
        signal: what it shall answer.
        loss: over predicted and true values.
        count: points a step.
        own: source of randomness where the signal is in another memory than the field; else the training's is.
    """

    learner: nn.Module
    field: PointField
    signal: Signal
    loss: Loss
    count: int
    own: torch.Generator | None = None

    def next(self, context: Context) -> Points:
        """Points of the signal, brought to where the field is."""
        if self.own is None:
            return self.signal.sample(self.count, context.generator)
        return self._brought(self.signal.sample(self.count, self.own))

    def losses(self, look: Points, context: Context) -> Outcome:
        """Compare with what the signal is there."""
        predicted = self.field(look.positions)
        squared = self._error(predicted.detach(), look.values).square().mean()
        work = torch.full((), self.count, device=predicted.device)
        return Outcome(self.loss(predicted, look.values), squared, work, "points")

    def note(self, look: Points, outcome: Outcome) -> None:
        """What was found does not change what is looked at."""

    def feedback(self, work: int, served: float) -> None:
        """A point costs what it costs."""

    def stage(self, look: Points, context: Context) -> Hashable:
        """Nothing hangs on progress."""
        return ()

    @torch.no_grad()
    def probe(self, context: Context) -> float:
        """Over the same points each time, whatever the seed of training is."""
        generator = torch.Generator(self.signal.device).manual_seed(0)
        positions, values = self._brought(self.signal.sample(PROBE, generator))
        return float(self._error(self.field(positions), values).square().mean())

    def _brought(self, points: Points) -> Points:
        device = next(self.learner.parameters()).device
        return Points(*(tensor.to(device, non_blocking=True) for tensor in points))

    def _error(self, predicted: Tensor, values: Tensor) -> Tensor:
        """Pictures are compared as they are shown; other values as they are."""
        facts = self.signal.facts
        if facts.kind not in ("image", "panorama"):
            return predicted - values
        return shown(predicted, linear=facts.linear) - shown(values, linear=facts.linear)

    def parameter_groups(self) -> list[ParameterGroup]:
        """The field's."""
        return self.field.parameter_groups()

    def state_dict(self) -> dict[str, Any]:
        """The learner's and its own generator's; the signal is read again."""
        state: dict[str, Any] = {"learner": dict(self.learner.state_dict())}
        return state if self.own is None else state | {"own": self.own.get_state()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue."""
        self.learner.load_state_dict(state["learner"])
        if self.own is not None and "own" in state:
            self.own.set_state(state["own"].cpu())
