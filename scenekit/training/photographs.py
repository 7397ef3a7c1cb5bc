"""The objective of most trainings: a renderer over its background against photographed colours."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from scenekit.core.protocols import (
    Background,
    Batch,
    Context,
    Correction,
    ParameterGroup,
    Recordable,
    Renderer,
    Rendering,
    over_background,
)
from scenekit.training.batches import Batches
from scenekit.training.losses import Compared, Loss, PixelLoss
from scenekit.training.objective import Outcome, counted


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

    def next(self, context: Context) -> Batch:
        """The next batch."""
        return self.batches.next(context)

    def losses(self, look: Batch, context: Context) -> Outcome:
        """Render a batch as its cameras would have recorded it, and compare where it can be believed."""
        batch, rendering, behind = self._rendered(look, context)
        found = self._compared(batch, rendering, behind)
        unit = "samples" if "samples" in rendering.trace else "splats"
        terms, work = {**found.terms, **rendering.terms}, counted(rendering.trace[unit])
        return Outcome(terms, found.squared, work, unit, found.served, rendering)

    def note(self, look: Batch, outcome: Outcome) -> None:
        """To the renderer: what was found does not change what is looked at."""
        if isinstance(self.renderer, Recordable) and outcome.rendering is not None:
            self.renderer.note(outcome.rendering)

    def feedback(self, work: int, served: float) -> None:
        """Batches follow what they cost."""
        self.batches.feedback(work, served)

    def stage(self, look: Batch, context: Context) -> Hashable:
        """The renderer's; lenses are gone through one by one, however many pixels there are of each."""
        seen = (look.cameras,) if look.around is None else (look.cameras, look.around)
        recordable = all(cameras.are_pinholes for cameras in seen) and all(
            correction.recordable for correction in self.corrections
        )
        return self.renderer.stage(context) if recordable and isinstance(self.renderer, Recordable) else None

    @torch.no_grad()
    def probe(self, context: Context) -> float:
        """Over the watched batches."""
        looks = [self._rendered(batch, context) for batch in self.watched]
        squared = [float(self._compared(*look).squared) for look in looks]
        return sum(squared) / max(1, len(squared))

    def _rendered(self, look: Batch, context: Context) -> tuple[Batch, Rendering, Tensor]:
        """The batch with its cameras as they stood, its rendering, and what is behind."""
        cameras, around = look.cameras, look.around
        for correction in self.corrections:
            cameras = correction.cameras(cameras)
            around = None if around is None else correction.cameras(around)
        batch = replace(look, cameras=cameras)
        context = replace(context, depth=batch.depth is not None or batch.normals is not None, around=around)
        rendering = self.renderer.render(cameras, batch.pixels, context=context)
        return batch, rendering, self.background.colors(cameras, batch.pixels, context)

    def _compared(self, batch: Batch, rendering: Rendering, behind: Tensor) -> Compared:
        """With the photographs: pixels in one pass where nothing comes between, else step by step."""
        if isinstance(self.loss, PixelLoss) and batch.pixels is not None and not self.corrections:
            return self.loss.of_pixels(rendering, behind, batch)
        seen, served = self._recorded(rendering, behind, batch), served_of(rendering)
        batch = replace(batch, valid=believable(batch.valid, served))
        target = self._believed(over(batch.target, behind.detach()), seen.color, batch.valid)
        terms = dict(self.loss(seen.color, target))
        for correction in self.corrections:
            terms |= correction.loss(seen, batch)
        return Compared(terms, _squared(seen, target, batch), share_of(served))

    def _believed(self, target: Tensor, seen: Tensor, valid: Tensor | None) -> Tensor:
        """The target where it is judged: a saturated one is not where more is seen."""
        judged = None if valid is None else valid[..., None]
        if self.corrections:
            # A saturated photograph says no more than: at least this bright.
            burnt = (target > SATURATED) & (seen.detach() > target)
            judged = ~burnt if judged is None else judged & ~burnt
        return believed(target, seen, judged)

    def _recorded(self, rendering: Rendering, behind: Tensor, batch: Batch) -> Rendering:
        """Corrected and over the background; a background that stands for alpha was never photographed."""
        if not self.corrections:
            return over_background(rendering, behind)
        transparent = batch.target.shape[-1] == 4
        seen = _unmultiplied(rendering) if transparent else over_background(rendering, behind)
        for correction in self.corrections:
            seen = correction.rendering(seen, batch)
        if not transparent:
            return seen
        return over_background(replace(seen, color=seen.color * seen.opacity[..., None]), behind)

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


SATURATED = 254 / 255


def _unmultiplied(rendering: Rendering) -> Rendering:
    return replace(rendering, color=rendering.color / rendering.opacity.clamp(min=1e-6)[..., None])


def served_of(rendering: Rendering) -> Bool[Tensor, "*b"] | None:
    """Which pixels had room; None where all had."""
    left_out = rendering.trace.get("left_out")
    return None if left_out is None else left_out.logical_not()


def share_of(served: Bool[Tensor, "*b"] | None) -> Float[Tensor, ""] | None:
    """How much of a look had room; None where all had."""
    return None if served is None else served.float().mean()


def believed(target: Tensor, seen: Tensor, judged: Tensor | None) -> Tensor:
    """The target, and where it is not judged what is seen anyway: no loss, no gradient, for any loss."""
    return target if judged is None else torch.where(judged, target, seen.detach())


def believable(valid: Tensor | None, served: Tensor | None) -> Tensor | None:
    """Where a photograph may be believed and what it is compared with was rendered at all."""
    if valid is None or served is None:
        return served if valid is None else valid
    return valid & served


def _squared(seen: Rendering, target: Tensor, batch: Batch) -> Float[Tensor, ""]:
    error = seen.color.detach() - target
    if batch.valid is None:
        return error.square().mean() if error.numel() else error.new_zeros(())
    judged = batch.valid[..., None].expand_as(error)
    return (error.square() * judged).sum() / judged.sum().clamp(min=1)


def over(target: Tensor, behind: Tensor) -> Tensor:
    """Photographed colours [.. 3] over ``behind``; colours with alpha [.. 4] are blended, others kept."""
    if target.shape[-1] == 3:
        return target
    alpha = target[..., 3:]
    return target[..., :3] * alpha + (1 - alpha) * behind
