"""The objective of most trainings: a renderer over its background against photographed colours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from scenekit.core.protocols import Background, Batch, Context, Correction, ParameterGroup, Renderer, over_background
from scenekit.training.batches import Batches
from scenekit.training.losses import Loss
from scenekit.training.objective import Outcome


@dataclass
class Photographs:
    """See :class:`~scenekit.training.objective.Objective`.

    Attributes:
        renderer, background: what learns.
        batches: where cameras, pixels and colours come from.
        loss: over predicted and photographed colours.
        corrections: what makes the photographs imperfect.
        watched: batches on which a target PSNR is judged.
    """

    renderer: Renderer
    background: Background
    batches: Batches
    loss: Loss
    corrections: Sequence[Correction] = ()
    watched: Sequence[Batch] = ()

    def losses(self, context: Context) -> Outcome:
        """Render the next batch as its cameras would have recorded it, and compare where it can be believed."""
        batch = self.batches.next(context)
        cameras = batch.cameras
        for correction in self.corrections:
            cameras = correction.cameras(cameras)
        batch = replace(batch, cameras=cameras)
        rendering = self.renderer.render(cameras, batch.pixels, context=context)
        self.batches.feedback(rendering)
        behind = self.background.colors(cameras, batch.pixels, context)
        seen = over_background(rendering, behind)
        for correction in self.corrections:
            seen = correction.rendering(seen, batch)
        target = believed(over(batch.target, behind.detach()), seen.color, batch.valid)
        terms = dict(self.loss(seen.color, target)) | dict(rendering.terms)
        for correction in self.corrections:
            terms |= correction.loss(seen, batch)
        unit = "samples" if "samples" in rendering.trace else "splats"
        squared = _mean_square(seen.color.detach() - target, batch.valid)
        return Outcome(terms, squared, int(rendering.trace[unit]), unit, rendering)

    @torch.no_grad()
    def probe(self, context: Context) -> float:
        """Over the watched batches."""
        squared = []
        for batch in self.watched:
            rendering = self.renderer.render(batch.cameras, batch.pixels, context=context)
            behind = self.background.colors(batch.cameras, batch.pixels, context)
            error = over_background(rendering, behind).color - over(batch.target, behind)
            squared.append(float(error.square().mean()))
        return sum(squared) / max(1, len(squared))

    def parameter_groups(self) -> list[ParameterGroup]:
        """The renderer's, the background's and the corrections'."""
        groups = self.renderer.parameter_groups() + self.background.parameter_groups()
        return groups + [group for correction in self.corrections for group in correction.parameter_groups()]

    def _parts(self) -> dict[str, Any]:
        parts = {"renderer": self.renderer, "background": self.background, "batches": self.batches}
        return parts | {f"correction{i}": part for i, part in enumerate(self.corrections)}

    def state_dict(self) -> dict[str, Any]:
        """Of every part, by its name."""
        return {name: dict(part.state_dict()) for name, part in self._parts().items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue."""
        for name, part in self._parts().items():
            part.load_state_dict(state.get(name, {}))


def believed(target: Tensor, seen: Tensor, valid: Tensor | None) -> Tensor:
    """The target, and where it is not to be believed what is seen anyway: no loss, no gradient, for any loss."""
    return target if valid is None else torch.where(valid[..., None], target, seen.detach())


def _mean_square(error: Tensor, valid: Tensor | None) -> float:
    return float((error if valid is None else error[valid]).square().mean()) if error.numel() else 0.0


def over(target: Tensor, behind: Tensor) -> Tensor:
    """Photographed colours [.. 3] over ``behind``; colours with alpha [.. 4] are blended, others kept."""
    if target.shape[-1] == 3:
        return target
    alpha = target[..., 3:]
    return target[..., :3] * alpha + (1 - alpha) * behind
