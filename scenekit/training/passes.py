"""Forward and backward of one step, and when its numbers are read.

On a CPU they are read before anything moves. On a GPU nobody waits (``late.py``).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Protocol

from torch import Tensor

from scenekit.core.checks import TrainingDiverged
from scenekit.core.context import Share
from scenekit.core.protocols import Context, ParameterGroup
from scenekit.training.divided import Division
from scenekit.training.objective import Objective, Outcome
from scenekit.training.ranks import average_gradients
from scenekit.training.readings import Asked, Reading, numbers_of, summed


class Passes(Protocol):
    """How gradients come to stand, and how numbers come back.

    ``late`` says that nobody has looked at the gradients when the optimizer takes them.
    """

    late: ClassVar[bool]

    def run(self, look: Any, context: Context, index: int) -> Outcome:
        """What ``look`` showed; gradients stand, the mean over the processes."""
        ...

    def due(self) -> Reading | None:
        """Numbers of the oldest step that were not given yet, if they shall be read now."""
        ...

    def rest(self) -> list[Reading]:
        """Those of all steps that were not given yet."""
        ...


class Watched:
    """Every number is read before anything moves: parameters are always those of the last good step.

    ``run`` raises TrainingDiverged with the step and the term or parameter that is no number.
    """

    late: ClassVar[bool] = False

    def __init__(
        self,
        objective: Objective,
        share: Share,
        groups: Sequence[ParameterGroup],
        division: Division | None = None,
    ) -> None:
        self.objective = objective
        self.division = division
        self.share = share
        self.groups = groups
        self._found: list[Reading] = []

    def run(self, look: Any, context: Context, index: int) -> Outcome:
        """See :class:`Passes`."""
        outcome = self.objective.losses(look, context)
        loss = outcome.loss()
        numbers = summed(numbers_of(outcome, loss).cpu(), self.share)
        reading = Asked(index, context.progress, outcome.unit, tuple(outcome.terms)).reading(numbers, self.share)
        if not reading.finite:
            raise reading.trouble("the last good state is kept")
        loss.backward()
        average_gradients(self.share, self.groups, () if self.division is None else self.division.parameters)
        self._check_gradients(index)
        self._found.append(reading)
        return outcome

    def due(self) -> Reading | None:
        """The step's own."""
        return self._found.pop(0) if self._found else None

    def rest(self) -> list[Reading]:
        """None, where every step's were asked for."""
        left, self._found = self._found, []
        return left

    def _check_gradients(self, index: int) -> None:
        parameters = {name: p for group in self.groups for name, p in group.parameters.items()}
        name = not_finite({name: p.grad for name, p in parameters.items() if p.grad is not None})
        name = name if self.division is None else self.division.anywhere(name)
        if name is None:
            return
        for parameter in parameters.values():
            parameter.grad = None
        raise TrainingDiverged(
            f"training: wanted finite gradients, found NaN or infinity in that of '{name}' at step {index}; "
            "the last good state is kept, try a lower learning rate or check the images and poses"
        )


def not_finite(tensors: Mapping[str, Tensor]) -> str | None:
    """The first that holds NaN or infinity.

    A sum is NaN or infinite where any of its terms is, and takes no memory; only a sum may overflow by itself.
    """
    for name, tensor in tensors.items():
        if not math.isfinite(float(tensor.sum())) and not bool(tensor.isfinite().all()):
            return name
    return None
