"""Batches that are drawn in main memory, because their photographs are there, and brought to a GPU."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch

from scenekit.core.protocols import Batch, Context
from scenekit.training.batches import Batches
from scenekit.training.capture import rebuilt


class Hosted:
    """See :class:`~scenekit.training.batches.Batches`; what is drawn follows a generator of its own."""

    def __init__(self, inner: Batches, device: torch.device, seed: int = 0) -> None:
        self.inner = inner
        self.device = device  # where batches are wanted
        self.generator = torch.Generator().manual_seed(seed)

    def next(self, context: Context) -> Batch:
        """The inner one's, on the device."""
        batch = self.inner.next(replace(context, generator=self.generator))
        return rebuilt(batch, lambda tensor: tensor.to(self.device, non_blocking=True))

    def feedback(self, work: int, served: float = 1.0) -> None:
        """To the inner one."""
        self.inner.feedback(work, served)

    def state_dict(self) -> dict[str, Any]:
        """The inner one's, and the generator's."""
        return {"inner": self.inner.state_dict(), "generator": self.generator.get_state()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue."""
        self.inner.load_state_dict(state["inner"])
        self.generator.set_state(state["generator"].cpu())
