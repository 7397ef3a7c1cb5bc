"""Baked fields by volume rendering with deferred shading: the twin of the page's shader, and its training."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import ClassVar

import torch
from jaxtyping import Bool
from torch import Tensor, nn

from scenekit.core.cameras import Cameras, Pixels, every_pixel
from scenekit.core.protocols import EVAL, Batching, Context, ParameterGroup, Rendering
from scenekit.core.rays import Rays
from scenekit.distill.bake.field import BakedField
from scenekit.kernels.composite import composite
from scenekit.kernels.march import StepRule, march
from scenekit.kernels.ray_cube import ray_cube
from scenekit.kernels.rays import rays_of
from scenekit.kernels.step_alphas import step_alphas
from scenekit.renderers.early_stop import owners, reached, samples_at

CHUNK = 16384  # rays at once
MAX_SAMPLES = 1024  # a ray has at most
JITTER = 0.5  # of the first step outside training


class BakedRenderer(nn.Module):
    """Marches rays through the occupied cells, composites diffuse colours and features, then shades each ray once."""

    batching: ClassVar[Batching] = "pixels"
    occupied: Bool[Tensor, "K G G G"]

    def __init__(self, field: BakedField, occupied: Bool[Tensor, "K G G G"], rule: StepRule) -> None:
        super().__init__()
        self.field = field
        self.rule = rule
        self.register_buffer("occupied", occupied.clone())

    def render(self, cameras: Cameras, pixels: Pixels | None = None, *, context: Context = EVAL) -> Rendering:
        """See :class:`~scenekit.core.protocols.Renderer`."""
        chosen = every_pixel(cameras) if pixels is None else pixels
        with self.field.held():
            if context.training:
                return self._render_rays(rays_of(cameras, chosen), context)
            starts = range(0, max(1, len(chosen)), CHUNK)
            parts = [self._render_rays(rays_of(cameras, chosen[b : b + CHUNK]), context) for b in starts]
        whole = Rendering(
            torch.cat([part.color for part in parts]),
            torch.cat([part.opacity for part in parts]),
            torch.cat([part.depth for part in parts if part.depth is not None]),
            trace={"samples": sum(part.trace["samples"] for part in parts)},
        )
        if pixels is not None:
            return whole
        shape = (len(cameras), cameras.sizes[0][1], cameras.sizes[0][0])
        depth = None if whole.depth is None else whole.depth.reshape(shape)
        color, opacity = whole.color.reshape(*shape, 3), whole.opacity.reshape(shape)
        return replace(whole, color=color, opacity=opacity, depth=depth)

    def parameter_groups(self) -> list[ParameterGroup]:
        """The field's."""
        return self.field.parameter_groups()

    def _render_rays(self, rays: Rays, context: Context) -> Rendering:
        bounds = self.field.bounds
        near, far = ray_cube(rays.origins, rays.directions, bounds.extent, bounds.near)
        jitter = context.uniform((len(near),), near.device) if context.training else torch.full_like(near, JITTER)
        marched = march(rays.origins, rays.directions, near, far, self.occupied, jitter, self.rule, MAX_SAMPLES)
        marched, density, features = reached(self.field, rays, marched)
        if context.training:
            samples = samples_at(rays, owners(marched), marched.distances, marched.deltas)
            density, features = self.field.density(samples)
        alphas = step_alphas(density, marched.deltas)
        seen = composite(alphas, features, marched.distances, marched.offsets)
        return Rendering(
            self.field.shade(seen.colors, seen.opacities, rays.directions),
            seen.opacities,
            seen.distances / seen.opacities.clamp(min=1e-6) * rays.z_per_distance,
            trace={"samples": len(alphas)},
        )


def step_rule(extent: float, steps: int, grid: int, cone: float) -> StepRule:
    """``steps`` equal steps across the diagonal of the inner cube; growing ones, up to a cell, where there is more."""
    smallest = 2 * math.sqrt(3) / steps
    return StepRule(smallest, max(smallest, 2 * extent / grid), 0.0 if extent <= 1 else cone)
