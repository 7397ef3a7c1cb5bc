"""Measured geometry as supervision: depth along z and normals, from sensors or from networks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from scenekit.core.cameras import Cameras, every_pixel
from scenekit.core.protocols import Batch, ParameterGroup, Rendering
from scenekit.core.schedules import exponential
from scenekit.kernels.rays import rays_of

NEAREST = 0.05  # of the measured depth: nearer renderings do not pull harder


class DepthPrior(nn.Module):
    """Rendered against measured depth, as disparities: ``weight * mean |1/d - (a_v / t + b_v)| * t``.

    ``t`` is the measured depth; multiplying by it makes the error relative, so that scale does not matter. Metric
    depth has a = 1 and b = 0; for depth known up to scale and shift (monocular networks) both are learnt for
    every photograph.
    """

    recordable: ClassVar[bool] = True

    def __init__(self, count: int, weight: float, *, invariant: bool) -> None:
        super().__init__()
        self.weight = weight
        self.invariant = invariant
        self.log_scales = nn.Parameter(torch.zeros(count))
        self.shifts = nn.Parameter(torch.zeros(count))

    def cameras(self, cameras: Cameras) -> Cameras:
        """As they are."""
        return cameras

    def rendering(self, rendering: Rendering, batch: Batch) -> Rendering:
        """As it is."""
        return rendering

    def loss(self, rendering: Rendering, batch: Batch) -> Mapping[str, Tensor]:
        """Where depth was measured and the photograph is believed, by the opacity that is there."""
        if batch.depth is None or rendering.depth is None:
            return {}
        wanted = batch.depth if batch.valid is None else batch.depth * batch.valid
        known = wanted > 0
        measured = torch.where(known, wanted, torch.ones_like(wanted))
        rendered = torch.where(known & (rendering.opacity > 0), rendering.depth, measured)
        scale, shift = self._alignment(batch, measured)
        disparity = 1 / rendered.clamp(min=NEAREST * measured.detach())
        error = (disparity - (scale / measured + shift)).abs() * measured * rendering.opacity.detach() * known
        return {"depth": self.weight * error.sum() / known.sum().clamp(min=1)}

    def _alignment(self, batch: Batch, measured: Tensor) -> tuple[Tensor, Tensor]:
        if not self.invariant:
            return measured.new_ones(()), measured.new_zeros(())
        assert batch.cameras.view_ids is not None
        ids = batch.cameras.view_ids if batch.pixels is None else batch.cameras.view_ids[batch.pixels.cameras]
        shape = (-1, *[1] * (measured.dim() - 1))
        return self.log_scales[ids].exp().reshape(shape), self.shifts[ids].reshape(shape)

    def parameter_groups(self) -> list[ParameterGroup]:
        """Scale and shift of every photograph, where they are not known."""
        if not self.invariant:
            return []
        named = {"depth.log_scales": self.log_scales, "depth.shifts": self.shifts}
        return [ParameterGroup("depth", named, exponential(0.02, 0.002), betas=(0.9, 0.99), sparse=True)]


class NormalPrior(nn.Module):
    """Normals of the rendered depth against measured ones: ``weight * mean (1 - n . t)``."""

    recordable: ClassVar[bool] = True

    def __init__(self, weight: float) -> None:
        super().__init__()
        self.weight = weight

    def cameras(self, cameras: Cameras) -> Cameras:
        """As they are."""
        return cameras

    def rendering(self, rendering: Rendering, batch: Batch) -> Rendering:
        """As it is."""
        return rendering

    def loss(self, rendering: Rendering, batch: Batch) -> Mapping[str, Tensor]:
        """Over pixels whose neighbours to the right and below are there too."""
        if batch.normals is None or rendering.depth is None:
            return {}
        if batch.pixels is not None and not batch.triples:
            return {}
        found, opacity, wanted = _corners(rendering, batch)
        known = (wanted.square().sum(-1) > 0.5) & (opacity > 0.5)
        error = (1 - (found * wanted).sum(-1)) * known
        return {"normals": self.weight * error.sum() / known.sum().clamp(min=1)}

    def parameter_groups(self) -> list[ParameterGroup]:
        """None."""
        return []


def _corners(rendering: Rendering, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
    """Normal from depth, least opacity and measured normal of every pixel that has both neighbours."""
    assert rendering.depth is not None
    assert batch.normals is not None
    points = unprojected(rendering.depth, batch)
    if batch.pixels is None:
        middle, right, below = points[:, :-1, :-1], points[:, :-1, 1:], points[:, 1:, :-1]
        opaque = rendering.opacity
        opacity = torch.minimum(opaque[:, :-1, :-1], torch.minimum(opaque[:, :-1, 1:], opaque[:, 1:, :-1]))
        return facing(middle, right, below), opacity.detach(), batch.normals[:, :-1, :-1]
    middle, right, below = points.unflatten(0, (-1, 3)).unbind(1)
    opacity = rendering.opacity.unflatten(0, (-1, 3)).amin(-1)
    return facing(middle, right, below), opacity.detach(), batch.normals.unflatten(0, (-1, 3))[:, 0]


def unprojected(depth: Float[Tensor, "*b"], batch: Batch) -> Float[Tensor, "*b 3"]:
    """Points in ``scene`` at a depth along z through the batch's pixels."""
    pixels = batch.pixels if batch.pixels is not None else every_pixel(batch.cameras)
    rays = rays_of(batch.cameras, pixels)
    distance = depth.reshape(-1) / rays.z_per_distance
    return (rays.origins + rays.directions * distance[:, None]).reshape(*depth.shape, 3)


def facing(
    middle: Float[Tensor, "*b 3"], right: Float[Tensor, "*b 3"], below: Float[Tensor, "*b 3"]
) -> Float[Tensor, "*b 3"]:
    """Unit normal, towards the camera, of the surface through a pixel and its neighbours (x right, y down)."""
    normal = torch.linalg.cross(below - middle, right - middle, dim=-1)
    return nn.functional.normalize(normal, dim=-1, eps=1e-12)
