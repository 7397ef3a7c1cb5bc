"""Field to field: both answer on the same samples of the same rays, marched once through the teacher's cells.

``L = ||C_S - C_T|| + w (||f_S - f_T|| + ||log s_S - log s_T|| + ||c_S - c_T||)`` with Frobenius norms over the batch
(Progressive Volume Distillation, eq. 7); the stages leave out what they do not need yet. Where light has been stopped
the march goes on a little, so that what a blurred student shows through is matched too.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from scenekit.core.cameras import Cameras, Pixels
from scenekit.core.protocols import Context, Field, Medium, Regularized, Rendering
from scenekit.core.rays import Rays, Samples
from scenekit.distill.active import RaySource
from scenekit.distill.plan import FEATURES, RENDERING, Distilling
from scenekit.distill.rendering import mean_served
from scenekit.distill.thinning import thin_light
from scenekit.kernels.composite import Composited, composite, composite_light
from scenekit.kernels.march import Marched
from scenekit.kernels.rays import rays_of
from scenekit.kernels.step_alphas import step_alphas
from scenekit.renderers.early_stop import owners, samples_at
from scenekit.renderers.room import lit_within
from scenekit.renderers.volume import VolumeRenderer, lit, radiance_of
from scenekit.training.objective import Outcome, counted
from scenekit.training.photographs import served_of, share_of

# Samples of a ray behind the one that stopped the light. From a hash grid, lego 800x800, 20 s of an H200: an MLP 0.2 dB
# better than with 8, simplex_grid and low_rank 0.06, for there is room for more rays.
BEHIND = 2
MATCHED = 0.002  # weight of what is matched at points, once colours are rendered
FADING = 0.995  # of the features' weight, a step: they only help at the start
FADED = 1e-4  # of it, below which they are not compared any more
MATTERING = 0.3  # share of a ray's samples that are matched, the heaviest (PVD-AL, level three)
SOLID = 0.5  # opacity from which on a ray's heaviest samples tell anything
EMPTY = 1e-38  # what the logarithm of no density is taken of


@dataclass(frozen=True)
class Answer:
    """What one of both says about the same samples; features where they are compared."""

    log_density: Float[Tensor, " S"]
    alphas: Float[Tensor, " S"]
    colors: Float[Tensor, "S 3"]
    features: Float[Tensor, "S F"] | None


@dataclass(frozen=True)
class Asked:
    """Rays to ask along, their numbers, and the features' weight; None where they are not compared."""

    cameras: Cameras
    pixels: Pixels
    numbers: Int[Tensor, " R"]
    fading: Float[Tensor, ""] | None


class SharedSamples:
    """Part of an objective: see :class:`~scenekit.distill.objective.Looking`.

    Where the student has a room for its samples, they lie in that many rows, and rays that had none are not compared.
    """

    def __init__(
        self, teacher: Field, student: VolumeRenderer, source: RaySource, distilling: Distilling, *, features: bool
    ) -> None:
        """``features`` says whether theirs mean the same."""
        self.teacher = teacher
        self.features = features
        self.student = student
        self.source = source
        self.distilling = distilling
        self.steps = 0

    def next(self, stage: str, context: Context) -> Asked:
        """The next rays."""
        assert context.generator is not None
        numbers = self.source.next(context.generator)
        slots, positions, _ = self.source.pixels(numbers)
        self.steps += 1
        left, fading = FADING**self.steps, None
        if stage != FEATURES and self.features and left > FADED:
            fading = torch.full((), _weight(stage) * left, device=numbers.device)
        return Asked(self.source.pool.cameras, Pixels(slots, positions), numbers, fading)

    def losses(self, stage: str, look: Asked, context: Context) -> Outcome:
        """What this stage compares, over these rays."""
        rays = rays_of(look.cameras, look.pixels)
        marched = self._marched(stage, rays, context)
        samples = samples_at(rays, owners(marched), marched.distances, marched.deltas)
        field = self.student.field
        if stage == FEATURES:
            with torch.no_grad():
                wanted = self.teacher.density(samples)[1]
            difference = _there(field.density(samples)[1] - wanted, marched)
            squared = _mean(difference.detach(), marched).clamp(max=1)
            outcome = Outcome({"features": _norm(difference)}, squared, _count(marched), "samples")
        else:
            features = look.fading is not None
            with torch.no_grad():
                theirs = ask(self.teacher, samples, features=features)
            outcome = self._compared(stage, look, marched, (theirs, ask(field, samples, features=features)))
            own = dict(field.terms(context)) if isinstance(field, Regularized) else {}
            outcome = replace(outcome, terms={**outcome.terms, **own})
        served = None if marched.left_out is None else marched.left_out.logical_not()
        return replace(outcome, served=share_of(served))

    def _marched(self, stage: str, rays: Rays, context: Context) -> Marched:
        """The teacher's light through the student's cells, which are the teacher's.

        Once colours are rendered it is thinned: before that nothing but the points says what is empty.
        """
        way, room, bright = self.student.way(rays, context), self.student.room, self.distilling.bright
        if stage == RENDERING and bright > 0:
            return thin_light(self.teacher, rays, way, room, BEHIND, bright, context)
        if room is None:
            return lit(self.teacher, rays, way, BEHIND)
        return lit_within(self.teacher, rays, way, room, BEHIND)

    def _compared(self, stage: str, look: Asked, marched: Marched, answers: tuple[Answer, Answer]) -> Outcome:
        """Densities and colours at points, and in the last stage what the rays see."""
        wanted, found = answers
        rendering, weight = stage == RENDERING, _weight(stage)
        low, high = self.distilling.density_floor, self.distilling.density_ceiling
        # What is empty has no colour of its own.
        colors = (found.colors - wanted.colors) * (wanted.log_density > low)[:, None]
        density = clamped_difference(found.log_density, wanted.log_density, low, high)[:, None]
        differences: dict[str, Tensor] = {"density": density, "color": colors}
        weights: dict[str, Tensor | float] = {"density": weight, "color": weight}
        if look.fading is not None and found.features is not None and wanted.features is not None:
            differences["features"], weights["features"] = found.features - wanted.features, look.fading
        if rendering and self.distilling.active.points:
            # Before anything is rendered nothing else tells the student what is empty: then every point counts.
            at = self._mattering(marched, answers)[:, None]
            differences = {name: torch.where(at, value, 0) for name, value in differences.items()}
        terms = {name: weights[name] * _norm(_there(value, marched)) for name, value in differences.items()}
        if not rendering:
            return Outcome(terms, _mean(colors.detach(), marched), _count(marched), "samples")
        seen, target = _composited(found, marched), _composited(wanted, marched)
        difference = torch.cat([seen.colors - target.colors, (seen.opacities - target.opacities)[:, None]], -1)
        terms["rendering"] = _norm(difference)
        if self.distilling.depth_weight > 0:
            terms["depth"] = self.distilling.depth_weight * _norm(_depth_errors(seen, target))
        wrong = difference.detach()[:, :3]
        left_out = {} if marched.left_out is None else {"left_out": marched.left_out}
        seen_so = Rendering(seen.colors, seen.opacities, trace=left_out)
        served = served_of(seen_so)
        squared, errors = mean_served(wrong.square(), served), wrong.abs().mean(-1)
        return Outcome(terms, squared, _count(marched), "samples", rendering=seen_so, errors=errors)

    def note(self, stage: str, look: Asked, outcome: Outcome) -> None:
        """Rays are hard where a picture was; before any is rendered all are alike."""
        if outcome.errors is not None and outcome.rendering is not None:
            served = served_of(outcome.rendering)
            self.source.note(look.numbers, look.pixels.cameras, outcome.errors, served)

    def stage(self, stage: str, look: Asked, context: Context) -> Hashable:
        """The student's; lenses are gone through one by one, however many rays there are of each."""
        return self.student.stage(context) if look.cameras.are_pinholes else None

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


def ask(medium: Medium, samples: Samples, *, features: bool) -> Answer:
    """Density of samples, as it is matched and as it is composited, and colours."""
    found = None
    if features:
        density, found = medium.density(samples)
        colors = medium.color(found, samples)
    else:
        density, colors = radiance_of(medium, samples)
    return Answer(density.clamp(min=EMPTY).log(), step_alphas(density, samples.deltas), colors, found)


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
    result = composite_light(alphas, marched.distances, marched.offsets)
    owner = owners(marched)
    order = result.weights.argsort(descending=True)
    order = order[owner[order].argsort(stable=True)]
    rank = torch.empty_like(order)
    rank[order] = torch.arange(len(order), device=order.device) - marched.offsets[owner[order]]
    counts = marched.offsets.diff()
    return (rank < (MATTERING * counts).ceil()[owner]) & (result.opacities >= SOLID)[owner]


def _composited(answer: Answer, marched: Marched) -> Composited:
    return composite(answer.alphas, answer.colors, marched.distances, marched.offsets)


def _depth_errors(seen: Composited, target: Composited) -> Float[Tensor, " R"]:
    """Relative, where the teacher is solid; elsewhere none."""
    theirs = target.distances / target.opacities.clamp(min=SOLID)
    ours = seen.distances / seen.opacities.clamp(min=0.1)
    return torch.where(target.opacities > SOLID, ours / theirs.clamp(min=1e-3) - 1, 0)


def _weight(stage: str) -> float:
    return MATCHED if stage == RENDERING else 1.0


def _count(marched: Marched) -> Int[Tensor, ""]:
    """Samples of rays."""
    return counted(len(marched.distances)) if marched.left_out is None else marched.offsets[-1]


def _there(values: Float[Tensor, "S C"], marched: Marched) -> Float[Tensor, "S C"]:
    """Nothing in rows that are no samples."""
    return values if marched.left_out is None else torch.where((marched.deltas > 0)[:, None], values, 0)


def _mean(values: Float[Tensor, "S C"], marched: Marched) -> Float[Tensor, ""]:
    """Mean square over samples."""
    return mean_served(values.square(), None if marched.left_out is None else marched.deltas > 0)


def _norm(difference: Tensor) -> Tensor:
    """Frobenius; the small constant keeps the gradient of no difference finite."""
    return (difference.square().sum() + 1e-12).sqrt()
