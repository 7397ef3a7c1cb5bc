"""Any to any: the student is photographed where the teacher was, over random backgrounds and then over the scene's own.

A random background behind both teaches opacity without a weight of its own. Once opacities are known it is noise in
every gradient at an edge: over the scene's own for the second half, a hash grid from Gaussians and Gaussians from a
hash grid gained 0.1 dB (lego 100x100), with opacities no worse. Over that alone these were wrong by a fifth more.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from scenekit.core.protocols import EVAL, Background, Context, Recordable, Renderer, Rendering, over_background
from scenekit.distill.pictures import Look, SinglePixels, WholePictures
from scenekit.training.losses import Loss
from scenekit.training.objective import Outcome, counted
from scenekit.training.photographs import believed, served_of, share_of

SOLID = 0.5  # opacity from which on a pixel's depth means something
RANDOM_UNTIL = 0.5  # progress until which backgrounds are random


class Rendered:
    """Part of an objective: see :class:`~scenekit.distill.objective.Looking`."""

    def __init__(
        self,
        student: Renderer,
        background: Background,
        looks: WholePictures | SinglePixels,
        loss: Loss,
        depth_weight: float,
    ) -> None:
        self.student = student
        self.background = background
        self.looks = looks
        self.loss = loss
        self.depth_weight = depth_weight

    def next(self, stage: str, context: Context) -> Look:
        """What the teacher shows next."""
        return self.looks.next(context)

    def losses(self, stage: str, look: Look, context: Context) -> Outcome:
        """Render what the teacher rendered, and compare."""
        rendering = self.student.render(look.cameras, look.pixels, context=context)
        served = served_of(rendering)
        behind = self._behind(look, context)
        seen = over_background(rendering, behind).color
        target = look.color + (1 - look.opacity)[..., None] * behind
        target = believed(target, seen, None if served is None else served[..., None])
        terms = dict(self.loss(seen, target)) | dict(rendering.terms)
        if rendering.depth is not None and self.depth_weight > 0:
            terms["depth"] = self.depth_weight * depth_error(rendering, look)
        difference = (seen - target).detach()
        unit = "samples" if "samples" in rendering.trace else "splats"
        squared, errors = mean_served(difference.square(), served), difference.abs().mean(-1)
        return Outcome(terms, squared, counted(rendering.trace[unit]), unit, share_of(served), rendering, errors)

    def note(self, stage: str, look: Look, outcome: Outcome) -> None:
        """What was hard comes again."""
        assert outcome.errors is not None
        assert outcome.rendering is not None
        self.looks.note(look, outcome.errors, served_of(outcome.rendering))

    def stage(self, stage: str, look: Look, context: Context) -> Hashable:
        """The student's, over which background; lenses are gone through one by one, however many pixels each has."""
        student = self.student if look.cameras.are_pinholes else None
        theirs = student.stage(context) if isinstance(student, Recordable) else None
        return None if theirs is None else (theirs, context.progress < RANDOM_UNTIL)

    def feedback(self, work: int, served: float) -> None:
        """What a look has cost."""
        self.looks.feedback(work, served)

    def _behind(self, look: Look, context: Context) -> Float[Tensor, "*b 3"]:
        """Random at first, then the scene's own; behind opaque photographs always that, which is in them."""
        early = context.progress < RANDOM_UNTIL
        if early and look.photographed is None:
            return _random(look, context)
        own = self.background.colors(look.cameras, look.pixels, EVAL).detach().expand_as(look.color)
        if not early or look.photographed is None:
            return own
        return torch.where(look.photographed[..., None], own, _random(look, context))

    def state_dict(self) -> dict[str, Any]:
        """What comes next."""
        return {"looks": self.looks.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue."""
        self.looks.load_state_dict(state["looks"])


def _random(look: Look, context: Context) -> Float[Tensor, "*b 3"]:
    """One colour behind a whole image, one behind each of single pixels."""
    one = (1, 1, 1, 3) if look.pixels is None else look.color.shape
    return context.uniform(one, look.color.device).expand_as(look.color)


def mean_served(values: Float[Tensor, "*b C"], served: Bool[Tensor, "*b"] | None) -> Float[Tensor, ""]:
    """The mean over what had room; all of it had where ``served`` is None."""
    if served is None:
        return values.mean()
    return (values * served[..., None]).sum() / (served.sum() * values.shape[-1]).clamp(min=1)


def depth_error(rendering: Rendering, look: Look) -> Float[Tensor, ""]:
    """Mean relative error where the teacher is solid and its depth is known."""
    assert rendering.depth is not None
    solid = (look.opacity > SOLID) & (look.depth > 0) & (rendering.opacity.detach() > 0.1)
    wrong = (rendering.depth / look.depth.clamp(min=1e-6) - 1).abs().clamp(max=1.0)
    return (wrong * solid).sum() / max(1, solid.numel())
