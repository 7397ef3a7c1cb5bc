"""Learning rates as functions of progress in [0, 1]."""

from __future__ import annotations

import math
from collections.abc import Callable


def constant(value: float) -> Callable[[float], float]:
    """The same rate throughout."""
    return lambda progress: value


def exponential(first: float, last: float, *, warm_up: float = 0.0, hold: float = 0.0) -> Callable[[float], float]:
    """From ``first`` to ``last`` at a constant ratio a step.

    The rate rises linearly from a hundredth of ``first`` while progress is below ``warm_up``, and begins to
    fall after ``hold``.
    """

    def rate(progress: float) -> float:
        if progress < warm_up:
            return first * (0.01 + 0.99 * progress / warm_up)
        fallen = max(0.0, progress - hold) / (1 - hold)
        return first * math.exp(math.log(last / first) * min(1.0, fallen))

    return rate
