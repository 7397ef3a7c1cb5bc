"""Keeps Gaussians in a sorted square grid while their number changes (Self-Organizing Gaussians)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from scenekit.core.protocols import Change, Context, Rendering
from scenekit.representations.compact import sorting_keys, square_order
from scenekit.representations.gaussians import GaussianModel
from scenekit.training.controllers.schedules import Growth

IMPROVEMENT = 1e-3  # at which sorting stops: between two acts of densification a rough order serves


class SquareGrid:
    """After every act of densification: the most transparent few go, the others are sorted, moments along.

    Stands behind the controller that densifies, and knows its schedule.
    """

    def __init__(self, model: GaussianModel, growth: Growth) -> None:
        self.model = model
        self.growth = growth
        self.step = 0  # of one photograph each

    def before_render(self, context: Context) -> None:
        """Nothing."""

    def after_backward(self, rendering: Rendering, context: Context) -> Change | None:
        """Sort where the one before has just changed the rows."""
        self.step += context.batches
        if not self.growth.due(self.step, context) or not len(self.model):
            return None
        order = sorted_rows(self.model, context.generator)
        return Change(order, torch.zeros_like(order, dtype=torch.bool))

    def after_step(self, context: Context) -> None:
        """Nothing."""

    def state_dict(self) -> dict[str, Any]:
        """The step count."""
        return {"step": self.step}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from :meth:`state_dict`."""
        self.step = int(state["step"])


def sorted_rows(model: GaussianModel, generator: torch.Generator | None) -> torch.Tensor:
    """Rows of a model that fill a square, sorted."""
    keys = sorting_keys(model.means, model.log_scales, model.harmonics_dc[:, 0])
    return square_order(model.opacity_logits, keys, generator, IMPROVEMENT)


@torch.no_grad()
def arrange(model: GaussianModel, generator: torch.Generator | None = None) -> None:
    """Sort a model before it is trained; nothing may hold its moments yet."""
    order = sorted_rows(model, generator)
    for parameter in model.learnable.values():
        parameter.data = parameter.data[order]
