"""What a step minimises: photographs, a teacher's renderings, points of a signal. The trainer knows no more of it."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from functools import reduce
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from scenekit.core.protocols import Context, ParameterGroup, Rendering


@dataclass(frozen=True)
class Outcome:
    """What one look at the objective found; all of it stays on the device.

    Attributes:
        terms: weighted losses by name; their sum is minimised.
        squared: mean squared error of the values in [0, 1], for the PSNR.
        work: how many ``unit`` (samples, splats or points) were handled.
        unit: what is counted.
        served: share of the look that had room; what had none is not judged. None where all had.
        rendering: what controllers look at; None where nothing was rendered.
        errors: of every ray, or every pixel of a picture, for those who choose what is looked at next.
    """

    terms: Mapping[str, Tensor]
    squared: Float[Tensor, ""]
    work: Int[Tensor, ""]
    unit: str
    served: Float[Tensor, ""] | None = None
    rendering: Rendering | None = None
    errors: Float[Tensor, "*b"] | None = None

    def loss(self) -> Float[Tensor, ""]:
        """The sum of the terms."""
        return reduce(torch.add, self.terms.values())


@runtime_checkable
class Objective(Protocol):
    """A source of losses that owns what learns; its state resumes bit for bit.

    A step asks ``next``, then ``losses`` of it, then tells ``note``, and ``feedback`` once its cost is known. Between
    two steps whose looks have the same shapes and whose ``stage`` is the same, ``losses`` does the same to other
    numbers: on a GPU it may be a recording (:mod:`scenekit.training.capture`).
    """

    def next(self, context: Context) -> Any:
        """What the next step looks at: dataclasses, tuples and mappings of tensors and plain values."""
        ...

    def losses(self, look: Any, context: Context) -> Outcome:
        """What the step minimises."""
        ...

    def note(self, look: Any, outcome: Outcome) -> None:
        """Learn from what was found, without waiting for the device."""
        ...

    def feedback(self, work: int, served: float) -> None:
        """Learn from what a look has cost, of one process on the average; perhaps a step or two later."""
        ...

    def stage(self, look: Any, context: Context) -> Hashable:
        """Whatever in ``losses`` hangs on progress; None where a recording could not stand for it."""
        ...

    def probe(self, context: Context) -> float:
        """Mean squared error on a fixed subset of the training data, for a target PSNR."""
        ...

    def parameter_groups(self) -> list[ParameterGroup]:
        """What learns, and how."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """Everything that resuming needs: nested dictionaries of tensors and plain values."""
        ...

    def load_state_dict(self, state_dict: Mapping[str, Any], /) -> object:
        """Take what :meth:`state_dict` gave."""
        ...


def counted(count: int | Tensor) -> Int[Tensor, ""]:
    """A count as an outcome holds it."""
    return count if isinstance(count, Tensor) else torch.tensor(count)


def psnr_of(squared_error: float) -> float:
    """``-10 log10(mean squared error)`` for values in [0, 1]; capped at 100 dB."""
    return 100.0 if squared_error <= 1e-10 else -10 * math.log10(squared_error)
