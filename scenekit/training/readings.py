"""What a step found, as numbers that have come from the device."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float64
from torch import Tensor

from scenekit.core.checks import TrainingDiverged
from scenekit.core.context import Share
from scenekit.kernels.doubles import doubles
from scenekit.training.objective import Outcome
from scenekit.training.ranks import total


@dataclass(frozen=True)
class Reading:
    """Numbers of one step: means over the processes, of work the sum.

    Attributes:
        index, progress: of the step.
        loss, terms: the sum and its weighted parts.
        squared: mean squared error.
        work, unit: how many samples, splats or points.
        served: share of the look that had room.
        spoilt: whether the optimizer has met a gradient that is no number, in this step or before it.
    """

    index: int
    progress: float
    loss: float
    squared: float
    work: int
    unit: str
    served: float
    spoilt: bool
    terms: Mapping[str, float]

    @property
    def finite(self) -> bool:
        """Whether nothing went wrong."""
        return math.isfinite(self.loss) and not self.spoilt

    def trouble(self, kept: str) -> TrainingDiverged:
        """What to raise where something did; ``kept`` says which state is left."""
        if math.isfinite(self.loss):
            found = "wanted finite gradients, found NaN or infinity"
        else:
            name = next((name for name, term in self.terms.items() if not math.isfinite(term)), "sum")
            found = f"wanted a finite loss, found {self.terms.get(name, self.loss)} in the term '{name}'"
        return TrainingDiverged(
            f"training: {found} at step {self.index}; {kept}, try a lower learning rate or check the images and poses"
        )


def numbers_of(outcome: Outcome, loss: Tensor) -> Float64[Tensor, " K"]:
    """All that is read of a step, in one tensor."""
    served = loss.new_ones(()) if outcome.served is None else outcome.served
    every = (loss, outcome.squared, outcome.work, served, *outcome.terms.values())
    return doubles([x if x.device == loss.device else loss.new_full((), float(x), dtype=torch.float64) for x in every])


@dataclass(frozen=True)
class Asked:
    """What numbers are about: a step, and the names of what it found."""

    index: int
    progress: float
    unit: str
    terms: tuple[str, ...]

    def reading(self, numbers: Float64[Tensor, " K"], share: Share, *, spoilt: bool = False) -> Reading:
        """From :func:`numbers_of`, on the CPU and summed over the processes."""
        loss, squared, work, served, *terms = numbers.tolist()
        of = share.of
        named = dict(zip(self.terms, (term / of for term in terms), strict=True))
        handled = round(work) if math.isfinite(work) else 0
        head = (self.index, self.progress, loss / of, squared / of, handled, self.unit)
        return Reading(*head, served / of, spoilt, named)


def summed(numbers: Float64[Tensor, " K"], share: Share) -> Float64[Tensor, " K"]:
    """Over the processes."""
    if share.of == 1:
        return numbers
    together = numbers.clone()
    total(share, together)
    return together
