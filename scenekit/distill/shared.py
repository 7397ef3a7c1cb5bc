"""Field to field: both answer on the same samples of the same rays, marched once through the teacher's cells.

``L = ||C_S - C_T|| + w (||f_S - f_T|| + ||log s_S - log s_T|| + ||c_S - c_T||)`` with Frobenius norms over the batch
(Progressive Volume Distillation, eq. 7); the stages leave out what they do not need yet. Where light has been stopped
the march goes on a little, so that what a blurred student shows through is matched too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from scenekit.core.cameras import Pixels
from scenekit.core.protocols import Context, Field, Medium, Regularized, Rendering
from scenekit.core.rays import Rays, Samples
from scenekit.distill.active import RaySource
from scenekit.distill.plan import FEATURES, RENDERING, Distilling
from scenekit.kernels.composite import Composited, composite
from scenekit.kernels.march import Marched, StepRule, march
from scenekit.kernels.rays import rays_of
from scenekit.kernels.step_alphas import step_alphas
from scenekit.renderers.early_stop import owners, samples_at
from scenekit.renderers.volume import VolumeRenderer, lit
from scenekit.training.objective import Outcome, counted

BEHIND = 8  # samples of a ray behind the one that stopped the light
MATCHED = 0.002  # weight of what is matched at points, once colours are rendered
FADING = 0.995  # of the features' weight, a step: they only help at the start
MATTERING = 0.3  # share of a ray's samples that are matched, the heaviest (PVD-AL, level three)
SOLID = 0.5  # opacity from which on a ray's heaviest samples tell anything
SMEARED = 4.0  # steps that a splat's density is averaged over
EMPTY = 1e-38  # what the logarithm of no density is taken of


@dataclass(frozen=True)
class Answer:
    """What one of both says about the same samples."""

    log_density: Float[Tensor, " S"]
    features: Float[Tensor, "S F"]
    alphas: Float[Tensor, " S"]


class SharedSamples:
    """Part of an objective: see :class:`~scenekit.distill.objective.Looking`."""

    def __init__(
        self, medium: Medium, student: VolumeRenderer, source: RaySource, distilling: Distilling, *, features: bool
    ) -> None:
        """``features`` says whether theirs mean the same."""
        self.medium = medium
        self.features = features
        self.student = student
        self.source = source
        self.distilling = distilling
        self.steps = 0

    def next(self, stage: str, context: Context) -> Pixels:
        """The next rays' pixels."""
        assert context.generator is not None
        return self.source.next(context.generator)

    def losses(self, stage: str, look: Pixels, context: Context) -> Outcome:
        """What this stage compares, over these rays."""
        rays = rays_of(self.source.pool.cameras, look)
        marched = self._marched(rays, context)
        samples = samples_at(rays, owners(marched), marched.distances, marched.deltas)
        # Splats are thinner than a step: over a longer one they are as thick as what a field can hold.
        longer = samples if isinstance(self.medium, Field) else replace(samples, deltas=SMEARED * samples.deltas)
        with torch.no_grad():
            wanted = ask(self.medium, longer)
        found = ask(self.student.field, samples)
        self.steps += 1
        if stage == FEATURES:
            difference = found.features - wanted.features
            squared = difference.detach().square().mean().clamp(max=1)
            return Outcome({"features": _norm(difference)}, squared, counted(len(samples)), "samples")
        outcome = self._compared(stage == RENDERING, marched, samples, (wanted, found))
        field = self.student.field
        own = dict(field.terms(context)) if isinstance(field, Regularized) else {}
        return replace(outcome, terms={**outcome.terms, **own})

    def _marched(self, rays: Rays, context: Context) -> Marched:
        """The teacher's light through the student's cells, which are the teacher's.

        What only answers and has no fused path costs as much to be asked how far light reaches as to be asked at
        every sample: then every sample is taken.
        """
        way = self.student.way(rays, context)
        if isinstance(self.medium, Field):
            return lit(self.medium, rays, way, BEHIND)
        return march(rays.origins, rays.directions, *way[:4], StepRule(*way.rule), way.max_samples)

    def _compared(self, rendering: bool, marched: Marched, samples: Samples, answers: tuple[Answer, Answer]) -> Outcome:
        """Densities and colours at points, and in the last stage what the rays see."""
        wanted, found = answers
        with torch.no_grad():
            theirs = self.medium.color(wanted.features, samples)
        ours = self.student.field.color(found.features, samples)
        # Before anything is rendered nothing else tells the student what is empty: then every point counts.
        at = self._mattering(marched, answers) if rendering and self.distilling.active.points else slice(None)
        weight = MATCHED if rendering else 1.0
        low, high = self.distilling.density_floor, self.distilling.density_ceiling
        difference = clamped_difference(found.log_density, wanted.log_density, low, high)
        # What is empty has no colour of its own.
        colors = (ours - theirs) * (wanted.log_density > low)[:, None]
        terms = {"density": weight * _norm(difference[at]), "color": weight * _norm(colors[at])}
        if self.features:
            terms["features"] = weight * FADING**self.steps * _norm((found.features - wanted.features)[at])
        work = counted(len(samples))
        if not rendering:
            return Outcome(terms, colors.detach().square().mean(), work, "samples")
        seen, target = _composited(found, ours, marched), _composited(wanted, theirs, marched)
        difference = torch.cat([seen.colors - target.colors, (seen.opacities - target.opacities)[:, None]], -1)
        terms["rendering"] = _norm(difference)
        if self.distilling.depth_weight > 0:
            terms["depth"] = self.distilling.depth_weight * _norm(_depth_errors(seen, target))
        wrong = difference.detach()[:, :3]
        seen_so = Rendering(seen.colors, seen.opacities)
        return Outcome(terms, wrong.square().mean(), work, "samples", rendering=seen_so, errors=wrong.abs().mean(-1))

    def note(self, stage: str, look: Pixels, outcome: Outcome) -> None:
        """Rays are hard where a picture was; before any is rendered all are alike."""
        errors = torch.zeros(len(look), device=look.positions.device) if outcome.errors is None else outcome.errors
        self.source.note(look, errors)

    def feedback(self, work: int, served: float) -> None:
        """What rays have cost."""
        self.source.feedback(work, served)

    @torch.no_grad()
    def _mattering(self, marched: Marched, answers: tuple[Answer, Answer]) -> Bool[Tensor, " S"]:
        """The heaviest samples of each ray for either."""
        wanted, found = answers
        return heaviest(wanted.alphas, marched) | heaviest(found.alphas, marched)

    def state_dict(self) -> dict[str, Any]:
        """The rays and the step."""
        return {"source": self.source.state_dict(), "steps": self.steps}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue."""
        self.source.load_state_dict(state["source"])
        self.steps = int(state["steps"])


def ask(medium: Medium, samples: Samples) -> Answer:
    """Density of samples, as it is matched and as it is composited."""
    density, features = medium.density(samples)
    return Answer(density.clamp(min=EMPTY).log(), features, step_alphas(density, samples.deltas))


def clamped_difference(
    found: Float[Tensor, " S"], wanted: Float[Tensor, " S"], low: float, high: float
) -> Float[Tensor, " S"]:
    """``found - clamp(wanted)``, and nothing where both are beyond the same end.

    The difference of both clamped would have no gradient where the student alone is beyond.
    """
    target = wanted.clamp(low, high)
    agreed = ((found < low) & (target <= low)) | ((found > high) & (target >= high))
    return (found - target).masked_fill(agreed, 0)


def heaviest(alphas: Float[Tensor, " S"], marched: Marched) -> Bool[Tensor, " S"]:
    """The samples with the largest weights, up to three tenths of each ray that is at least half opaque."""
    blank = alphas.new_zeros(len(alphas), 0)
    result = composite(alphas, blank, marched.distances, marched.offsets)
    owner = owners(marched)
    order = result.weights.argsort(descending=True)
    order = order[owner[order].argsort(stable=True)]
    rank = torch.empty_like(order)
    rank[order] = torch.arange(len(order), device=order.device) - marched.offsets[owner[order]]
    counts = marched.offsets.diff()
    return (rank < (MATTERING * counts).ceil()[owner]) & (result.opacities >= SOLID)[owner]


def _composited(answer: Answer, colors: Tensor, marched: Marched) -> Composited:
    return composite(answer.alphas, colors, marched.distances, marched.offsets)


def _depth_errors(seen: Composited, target: Composited) -> Float[Tensor, " R"]:
    """Relative, where the teacher is solid."""
    solid = target.opacities > SOLID
    theirs = target.distances[solid] / target.opacities[solid]
    ours = seen.distances[solid] / seen.opacities[solid].clamp(min=0.1)
    return ours / theirs.clamp(min=1e-3) - 1


def _norm(difference: Tensor) -> Tensor:
    """Frobenius; the small constant keeps the gradient of no difference finite."""
    return (difference.square().sum() + 1e-12).sqrt()
