"""Keeps a volume renderer's occupancy grid up with its field."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scenekit.core.protocols import Context, Rendering
from scenekit.renderers.volume import VolumeRenderer


class OccupancyUpdates:
    """Asks the field every few steps: each step at first, every ``interval`` later (instant-ngp).

    ``cells`` bounds what one update costs; a full pass over the grid then takes several updates.
    """

    def __init__(self, renderer: VolumeRenderer, *, interval: int = 16, cells: int = 2**17) -> None:
        self.renderer = renderer
        self.interval = interval
        self.cells = cells
        self.step = 0

    def before_render(self, context: Context) -> None:
        """Update the grid if it is time."""
        due = max(1, min(self.interval, self.step // 16))
        if self.step % due == 0 and context.generator is not None:
            self.renderer.occupancy.update(self.renderer.field, self.cells, context.generator)
        self.step += 1

    def after_backward(self, rendering: Rendering, context: Context) -> None:
        """Nothing."""

    def after_step(self, context: Context) -> None:
        """Nothing."""

    def state_dict(self) -> dict[str, Any]:
        """The step; the grid itself is the renderer's."""
        return {"step": self.step}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue."""
        self.step = int(state["step"])
