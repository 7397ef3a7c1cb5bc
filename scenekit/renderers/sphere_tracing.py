"""Surfaces by sphere tracing (Hart 1996): every step is as long as the distance field says is safe."""

from __future__ import annotations

from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from scenekit.core.cameras import Cameras, Pixels, every_pixel
from scenekit.core.point_fields import PointField
from scenekit.core.protocols import EVAL, Batching, Context, ParameterGroup, Rendering
from scenekit.core.rays import Rays
from scenekit.kernels.ray_cube import ray_cube
from scenekit.kernels.rays import rays_of
from scenekit.renderers.crop import refuse

STEPS = 128
CAUTION = 0.9  # of a step: a learnt distance is no exact bound
CLOSE = 5e-4  # distance in scene units at which a surface counts as met
APART = 1.5e-3  # between the four points that a normal is taken from, in scene units
CHUNKS = {"cpu": 2**17, "cuda": 2**22}  # rays at once
CLAY = 0.8  # brightness of a surface that faces the camera
AMBIENT = 0.25


class SphereTracer(nn.Module):
    """Shows the surface where a field of distances is zero, as clay lit from the camera.

    The field answers in the unit cube and in units of its side; here the cube is [-1, 1]^3 of ``scene``.
    """

    batching: ClassVar[Batching] = "pixels"

    def __init__(self, field: PointField) -> None:
        super().__init__()
        self.field = field

    def distances(self, positions: Float[Tensor, "S 3"]) -> Float[Tensor, " S"]:
        """Signed, in scene units; negative inside."""
        return 2 * self.field(positions.clamp(-1, 1) / 2 + 0.5)[:, 0]

    @torch.no_grad()
    def render(self, cameras: Cameras, pixels: Pixels | None = None, *, context: Context = EVAL) -> Rendering:
        """See :class:`~scenekit.core.protocols.Renderer`; without gradients."""
        refuse(context)
        chosen = every_pixel(cameras) if pixels is None else pixels
        size = CHUNKS[chosen.positions.device.type]
        parts = [self._seen(rays_of(cameras, chosen[at : at + size])) for at in range(0, max(1, len(chosen)), size)]
        opacity, depth, normals, color = (torch.cat(values) for values in zip(*parts, strict=True))
        trace = {"samples": len(color)}
        if pixels is not None:
            return Rendering(color, opacity, depth, normals, trace=trace)
        width, height = cameras.sizes[0]
        shape = (len(cameras), height, width)
        return Rendering(
            color.reshape(*shape, 3),
            opacity.reshape(shape),
            depth.reshape(shape),
            normals.reshape(*shape, 3),
            trace=trace,
        )

    def trace(self, rays: Rays) -> tuple[Tensor, Tensor]:
        """Which rays meet the surface [H], and at what distance from their origins [H]."""
        near, far = ray_cube(rays.origins, rays.directions, 1.0)
        at = near.clamp(min=0)
        going = (at < far).nonzero().squeeze(-1)
        met = []
        for _ in range(STEPS):
            if len(going) == 0:
                break
            positions = rays.origins[going] + at[going, None] * rays.directions[going]
            distance = self.distances(positions)
            here = distance < CLOSE
            met.append(going[here])
            going, distance = going[~here], distance[~here]
            at[going] += CAUTION * distance
            going = going[at[going] < far[going]]
        hits = torch.cat(met) if met else going
        hits = hits.sort().values
        return hits, at[hits]

    def _seen(self, rays: Rays) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        hits, distances = self.trace(rays)
        directions = rays.directions[hits]
        normals = self.normals(rays.origins[hits] + distances[:, None] * directions)
        facing = (-(normals * directions).sum(-1)).clamp(0, 1)
        opacity = torch.zeros_like(rays.z_per_distance)
        depth, normal, color = torch.zeros_like(opacity), torch.zeros_like(rays.origins), torch.zeros_like(rays.origins)
        opacity[hits] = 1.0
        depth[hits] = distances * rays.z_per_distance[hits]
        normal[hits] = normals
        color[hits] = (CLAY * (AMBIENT + (1 - AMBIENT) * facing))[:, None].expand(-1, 3)
        return opacity, depth, normal, color

    def normals(self, positions: Float[Tensor, "S 3"]) -> Float[Tensor, "S 3"]:
        """Unit normals from differences over a small tetrahedron, which smooths what cells of a grid leave."""
        corners = torch.tensor([[1.0, -1, -1], [-1, -1, 1], [-1, 1, -1], [1, 1, 1]], device=positions.device)
        around = (positions[:, None] + APART * corners).reshape(-1, 3)
        gradient = (self.distances(around).reshape(-1, 4, 1) * corners).sum(1)
        return nn.functional.normalize(gradient, dim=-1)

    def parameter_groups(self) -> list[ParameterGroup]:
        """The field's."""
        return self.field.parameter_groups()
