"""A controller for fields that become finer while they are trained."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from scenekit.core.checks import BadInput
from scenekit.core.protocols import Change, Context, Rendering


class Growth:
    """Calls ``grow(stage)`` once progress has passed each of ``points``; stages count from 1."""

    def __init__(self, points: Sequence[float], grow: Callable[[int], Change]) -> None:
        self.points = sorted(points)
        self.grow = grow
        self.stage = 0

    def before_render(self, context: Context) -> None:
        """Nothing."""

    def after_backward(self, rendering: Rendering, context: Context) -> Change | None:
        """The next stage if it is time; a step that was long catches up at once."""
        passed = sum(point <= context.progress for point in self.points)
        if passed <= self.stage:
            return None
        self.stage = passed
        return self.grow(passed)

    def after_step(self, context: Context) -> None:
        """Nothing."""

    def state_dict(self) -> dict[str, Any]:
        """The stage; the tables themselves are the field's."""
        return {"stage": self.stage}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue."""
        self.stage = int(state["stage"])


SETTLED = 0.9  # progress from which shapes stay: the averages of the parameters begin there


def check_points(name: str, points: Sequence[float]) -> None:
    """Raise BadInput where a field would change its shape before training or in its last tenth."""
    if any(not 0 <= point < SETTLED for point in points):
        raise BadInput.of(name, wanted=f"progress in [0, {SETTLED})", found=str(points), remedy="move the points")
