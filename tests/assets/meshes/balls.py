"""Scenes whose surface is known: a coloured ball, seen exactly, or as a field."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import nn

from scenekit.assets.meshes.density import LEVEL
from scenekit.assets.meshes.views import cameras_around
from scenekit.core.bounds import Bounds
from scenekit.core.cameras import Cameras, Pixels, every_pixel
from scenekit.core.protocols import EVAL, Context, Rendering
from scenekit.core.transforms import Similarity
from scenekit.kernels.rays import rays_of
from scenekit.renderers.background import GivenBackground
from scenekit.renderers.scene import Scene
from scenekit.renderers.volume import Marching, VolumeRenderer
from scenekit.representations.dense_grid import DenseGrid

RADIUS = 0.6  # in scene
SCALE = 0.5  # of scene_from_world: the ball's radius in world is RADIUS / SCALE
CENTRE = torch.tensor([3.0, -1.0, 2.0], dtype=torch.float64)  # in world


def color_of(normals: torch.Tensor) -> torch.Tensor:
    """Smooth, and different everywhere."""
    return 0.5 + 0.4 * normals


class ExactBall(nn.Module):
    """Renders a ball about the origin of ``scene``, and a speck beside it."""

    batching: ClassVar = "images"

    def __init__(self, speck: bool = False) -> None:
        super().__init__()
        self.balls = [(torch.zeros(3), RADIUS)] + [(torch.tensor([0.0, 0.0, 0.85]), 0.045)] * speck

    def render(self, cameras: Cameras, pixels: Pixels | None = None, *, context: Context = EVAL) -> Rendering:
        rays = rays_of(cameras, every_pixel(cameras) if pixels is None else pixels)
        nearest = torch.full_like(rays.z_per_distance, torch.inf)
        color = torch.zeros_like(rays.origins)
        for centre, radius in self.balls:
            offset = rays.origins - centre
            middle = -(offset * rays.directions).sum(-1)
            inside = middle.square() - offset.square().sum(-1) + radius**2
            distance = torch.where(inside > 0, middle - inside.clamp(min=0).sqrt(), torch.inf)
            closer = distance < nearest
            nearest = torch.where(closer, distance, nearest)
            hit = offset + distance.nan_to_num(posinf=0)[:, None] * rays.directions
            color = torch.where(closer[:, None], color_of(hit / radius), color)
        solid = nearest.isfinite()
        shape = (len(cameras), *cameras.sizes[0][::-1]) if pixels is None else (len(pixels),)
        depth = nearest.nan_to_num(posinf=0) * rays.z_per_distance
        return Rendering(color.reshape(*shape, 3), solid.float().reshape(shape), depth.reshape(shape))

    def parameter_groups(self) -> list:
        return []


def frame() -> Similarity:
    turn = torch.linalg.qr(torch.randn(3, 3, generator=torch.Generator().manual_seed(3), dtype=torch.float64))[0]
    return Similarity.of(SCALE, CENTRE, turn * torch.det(turn))


def cameras(count: int = 24, size: int = 128) -> Cameras:
    return cameras_around(CENTRE, 1.2 * RADIUS / SCALE, count, size)


def exact_ball(*, speck: bool = False, count: int = 24, size: int = 128) -> Scene:
    """As sharp as pixels allow, without a field behind it."""
    return Scene(ExactBall(speck), GivenBackground(), frame(), cameras(count, size), Bounds())


def field_ball(resolution: int = 64) -> Scene:
    """A dense grid whose density falls off through RADIUS, hollow inside."""
    config = DenseGrid(resolution=resolution, harmonics_degree=0, grow_at=())
    renderer = VolumeRenderer(config.build(Bounds()), Marching(grid=32))
    field = renderer.field
    axis = 2 * (torch.arange(resolution + 2) - 0.5) / resolution - 1
    x, y, z = torch.meshgrid(axis, axis, axis, indexing="ij")
    distance = (x * x + y * y + z * z).sqrt()
    shell = torch.minimum(RADIUS - distance, distance - 0.3)
    raw = LEVEL + 3000 * shell  # so steep that what is seen lies at the level too
    order = raw.permute(2, 1, 0).reshape(-1, 1)
    field.densities.data.copy_(order)
    renderer.occupancy.update(renderer.field, renderer.occupancy.cells, torch.Generator().manual_seed(0))
    return Scene(renderer, GivenBackground(), frame(), cameras(12, 96), Bounds())
