"""What a step minimises: photographs, a teacher's renderings, points of a signal. The trainer knows no more of it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from torch import Tensor

from scenekit.core.protocols import Context, ParameterGroup, Rendering


@dataclass(frozen=True)
class Outcome:
    """What one look at the objective found.

    Attributes:
        terms: weighted losses by name; their sum is minimised.
        squared: mean squared error of the values in [0, 1], for the PSNR.
        work, unit: how many ``samples``, ``splats`` or ``points`` it handled.
        rendering: what controllers look at; None where nothing was rendered.
    """

    terms: Mapping[str, Tensor]
    squared: float
    work: int
    unit: str
    rendering: Rendering | None = None


@runtime_checkable
class Objective(Protocol):
    """A source of losses that owns what learns; its state resumes bit for bit."""

    def losses(self, context: Context) -> Outcome:
        """What the next step minimises."""
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


def psnr_of(squared_error: float) -> float:
    """``-10 log10(mean squared error)`` for values in [0, 1]; capped at 100 dB."""
    return 100.0 if squared_error <= 1e-10 else -10 * math.log10(squared_error)
