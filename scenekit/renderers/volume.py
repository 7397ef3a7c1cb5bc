"""Fields by volume rendering: rays are marched through an occupancy grid and composited front to back."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from scenekit.core.cameras import Cameras, Pixels, every_pixel
from scenekit.core.capabilities import Radiant, Tracer
from scenekit.core.protocols import (
    EVAL,
    Batching,
    Context,
    Field,
    Medium,
    ParameterGroup,
    Regularized,
    Rendering,
    Staged,
)
from scenekit.core.rays import Rays, Samples, Way
from scenekit.kernels.composite import INVISIBLE, composite, composite_light
from scenekit.kernels.march import Marched, StepRule, march
from scenekit.kernels.ray_cube import ray_cube
from scenekit.kernels.rays import rays_of
from scenekit.kernels.step_alphas import step_alphas
from scenekit.renderers.crop import Cropped
from scenekit.renderers.distortion import distortion
from scenekit.renderers.early_stop import first_samples, owners, reached, samples_at
from scenekit.renderers.occupancy import OccupancyGrid
from scenekit.renderers.room import lit_within

RULES = 4  # lengths of early steps between the longest and the last, where steps are recorded
# As many chunks at once where the field traces, which keeps nothing of its samples; a GPU is filled by more.
TRACED_CHUNKS = {"cpu": 16, "cuda": 256}
CHUNKS = {"cpu": 1, "cuda": 4}  # where it does not: a GPU waits for the host in every round of a chunk


@dataclass(frozen=True)
class Marching:
    """How rays are sampled.

    Attributes:
        steps: steps across the diagonal of the inner cube; instant-ngp has 1024.
        cone: growth of the step with distance, for scenes beyond the inner cube; 0 keeps steps equal.
        grid: occupancy cells a side of each cascade.
        max_samples: samples a ray has at most.
        coarse_factor: how much longer steps are at the start of training: many short rays clear empty space
            sooner than few long ones.
        coarse_until: progress at which steps have shrunk to their own length.
        finer: how many times shorter steps are outside training, where they begin at no random place: pictures are
            truer, and cost more.
        distortion: weight of the distortion loss, which gathers what lies spread along a ray.
        chunk: rays rendered at once outside training; a field that traces takes more.
    """

    steps: int = 1024
    cone: float = 1 / 256
    grid: int = 128
    max_samples: int = 1024
    coarse_factor: float = 4.0
    coarse_until: float = 0.0
    finer: float = 1.0
    distortion: float = 0.0
    chunk: int = 16384


class VolumeRenderer(nn.Module):
    """Renders any :class:`~scenekit.core.protocols.Field`; the occupancy grid is part of its state."""

    batching: ClassVar[Batching] = "pixels"

    def __init__(self, field: Field, marching: Marching) -> None:
        super().__init__()
        self.field = field
        self.marching = marching
        self.room: int | None = None  # rows of samples in training; as many as there are where None
        self.occupancy = OccupancyGrid(field.bounds.cascades, marching.grid)

    def render(self, cameras: Cameras, pixels: Pixels | None = None, *, context: Context = EVAL) -> Rendering:
        """See :class:`~scenekit.core.protocols.Renderer`."""
        chosen = every_pixel(cameras) if pixels is None else pixels
        if context.training:
            return self._render_rays(rays_of(cameras, chosen), context)
        whole = _joined(list(self._parts(cameras, chosen, context)))
        if pixels is not None:
            return whole
        width, height = cameras.sizes[0]
        if any(size != (width, height) for size in cameras.sizes):
            raise ValueError(f"cameras: wanted one size for whole images, found {sorted(set(cameras.sizes))}")
        return _shaped(whole, (len(cameras), height, width))

    def parameter_groups(self) -> list[ParameterGroup]:
        """The field's."""
        return self.field.parameter_groups()

    def stage(self, context: Context) -> Hashable:
        """How long steps are, and what the field does; None where there are as many samples as there are."""
        staged = self.field.stage(context) if isinstance(self.field, Staged) else ()
        return None if self.room is None else (self.room, self.rule(context), staged)

    def note(self, rendering: Rendering) -> None:
        """Nothing: the room is given."""

    def _parts(self, cameras: Cameras, pixels: Pixels, context: Context) -> Iterator[Rendering]:
        """Outside training: traced many chunks at once where the field can do that, else chunk by chunk."""
        for many in _chunks(pixels, self.marching.chunk * TRACED_CHUNKS[pixels.positions.device.type]):
            traced = self._trace(cameras, many, context)
            if traced is not None:
                yield traced
                continue
            for part in _chunks(many, self.marching.chunk * CHUNKS[many.positions.device.type]):
                yield self._render_rays(rays_of(cameras, part), context)

    def _trace(self, cameras: Cameras, pixels: Pixels, context: Context) -> Rendering | None:
        """By the field's own fused path; None where it has none, with gradients or a crop."""
        if torch.is_grad_enabled() or context.crop is not None or not isinstance(self.field, Tracer):
            return None
        rays = rays_of(cameras, pixels)
        traced = self.field.trace(rays, self.way(rays, context))
        if traced is None:
            return None
        return Rendering(
            color=traced.colors,
            opacity=traced.opacities,
            depth=_depth(traced.distances, traced.opacities, rays),
            trace={"samples": traced.samples.sum()},
        )

    def _render_rays(self, rays: Rays, context: Context) -> Rendering:
        if context.training:
            # Where samples lie does not follow the rays' gradients; what the field says there does.
            fixed = replace(rays, origins=rays.origins.detach(), directions=rays.directions.detach())
            marched = self._lit(fixed, self.way(fixed, context))
            samples = samples_at(rays, owners(marched), marched.distances, marched.deltas)
            density, colors = radiance_of(self.field, samples)
            alphas = step_alphas(density, samples.deltas)
        else:
            marched, density, features = reached(
                Cropped(self.field, context), rays, _march(rays, self.way(rays, context))
            )
            samples = samples_at(rays, owners(marched), marched.distances, marched.deltas)
            alphas = step_alphas(density, samples.deltas)
            colors = self._seen_colors(alphas, features, samples, marched)
        composited = composite(alphas, colors, marched.distances, marched.offsets)
        return Rendering(
            color=composited.colors,
            opacity=composited.opacities,
            depth=_depth(composited.distances, composited.opacities, rays) if context.depth else None,
            terms=self._terms(composited.weights, marched, context),
            trace=_traced(marched, composited.weights),
        )

    def _lit(self, rays: Rays, way: Way) -> Marched:
        return lit(self.field, rays, way) if self.room is None else lit_within(self.field, rays, way, self.room)

    def _seen_colors(
        self, alphas: Tensor, features: Tensor, samples: Samples, marched: Marched
    ) -> Float[Tensor, "S 3"]:
        """Colours of the samples that are seen at all."""
        weights = composite_light(alphas, marched.distances, marched.offsets).weights
        seen = (weights > INVISIBLE).nonzero().squeeze(-1)
        colors = alphas.new_zeros(len(samples), 3)
        colors[seen] = self.field.color(features[seen], samples[seen])
        return colors

    def rule(self, context: Context) -> StepRule:
        """Lengths of steps, in scene units; early in training they are longer, and outside it they may be shorter."""
        early = 1 - context.progress / self.marching.coarse_until if self.marching.coarse_until > 0 else 0.0
        if self.room is not None:  # every length of steps is a program of its own
            early = math.ceil(RULES * early) / RULES
        longer = self.marching.coarse_factor ** max(0.0, early) if context.training else 1 / self.marching.finer
        smallest = 2 * math.sqrt(3) / self.marching.steps * longer
        extent = self.field.bounds.extent
        cell = 2 * extent / self.marching.grid
        return StepRule(smallest, max(smallest, cell), 0.0 if extent <= 1 else self.marching.cone * longer)

    def _terms(self, weights: Float[Tensor, " S"], marched: Marched, context: Context) -> dict[str, Tensor]:
        if not context.training:
            return {}
        terms = dict(self.field.terms(context)) if isinstance(self.field, Regularized) else {}
        if self.marching.distortion > 0:
            samples = weights, marched.distances, marched.deltas, owners(marched), marched.offsets
            spread = distortion(*samples, self.field.bounds.extent)
            terms["distortion"] = self.marching.distortion * spread
        return terms

    def way(self, rays: Rays, context: Context) -> Way:
        """Where rays are marched; in training they begin at random within their first step."""
        bounds = self.field.bounds
        near, far = ray_cube(rays.origins, rays.directions, bounds.extent, bounds.near)
        jitter = context.uniform((len(near),), near.device) if context.training else torch.full_like(near, 0.5)
        rule = self.rule(context)
        steps = rule.smallest, rule.largest, rule.cone
        most = self.marching.max_samples if context.training else round(self.marching.max_samples * self.marching.finer)
        return Way(near, far, self.occupancy.marched, jitter, steps, most)


def lit(field: Field, rays: Rays, way: Way, behind: int = 0) -> Marched:
    """The samples that light reaches through ``field``, and at most ``behind`` more of each ray.

    By the field's own fused path if it has one.
    """
    marched = _march(rays, way)
    counts = field.reach(rays, way) if isinstance(field, Tracer) else None
    if counts is None:
        found = reached(field, rays, marched).marched
        if not behind:
            return found
        counts = found.offsets.diff()
    return first_samples(marched, torch.minimum(counts + behind, marched.offsets.diff()))


def radiance_of(field: Medium, samples: Samples) -> tuple[Float[Tensor, " S"], Float[Tensor, "S 3"]]:
    """Density and colour of every sample."""
    if isinstance(field, Radiant):
        return field.radiance(samples)
    density, features = field.density(samples)
    return density, field.color(features, samples)


def _march(rays: Rays, way: Way) -> Marched:
    return march(rays.origins, rays.directions, *way[:4], StepRule(*way.rule), way.max_samples)


def _chunks(pixels: Pixels, size: int) -> Iterator[Pixels]:
    for begin in range(0, max(1, len(pixels)), size):
        yield pixels[begin : begin + size]


def _traced(marched: Marched, weights: Float[Tensor, " S"]) -> dict[str, Any]:
    """What training may want to know of the samples."""
    found = {"weights": weights, "distances": marched.distances, "deltas": marched.deltas, "offsets": marched.offsets}
    if marched.left_out is None:
        return found | {"samples": len(marched.distances)}
    return found | {"samples": marched.offsets[-1], "left_out": marched.left_out}


def _depth(distances: Float[Tensor, " R"], opacities: Float[Tensor, " R"], rays: Rays) -> Float[Tensor, " R"]:
    """Along the camera's z, from sums of weight times distance; 0 where nothing is."""
    return distances / opacities.clamp(min=1e-6) * rays.z_per_distance * (opacities > 0)


def _joined(parts: list[Rendering]) -> Rendering:
    def all_of(values: list[Tensor | None]) -> Tensor | None:
        return None if any(v is None for v in values) else torch.cat([v for v in values if v is not None])

    return Rendering(
        color=torch.cat([part.color for part in parts]),
        opacity=torch.cat([part.opacity for part in parts]),
        depth=all_of([part.depth for part in parts]),
        trace={"samples": int(sum(part.trace["samples"] for part in parts))},  # a GPU is waited for once
    )


def _shaped(rendering: Rendering, shape: tuple[int, int, int]) -> Rendering:
    return replace(
        rendering,
        color=rendering.color.reshape(*shape, 3),
        opacity=rendering.opacity.reshape(shape),
        depth=None if rendering.depth is None else rendering.depth.reshape(shape),
    )
