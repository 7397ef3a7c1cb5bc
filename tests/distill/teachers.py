"""A teacher whose every answer is known: a striped ball on nothing, and cameras around it."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from scenekit.core.bounds import Bounds
from scenekit.core.cameras import Cameras, look_at
from scenekit.core.protocols import ParameterGroup
from scenekit.core.rays import Samples
from scenekit.core.transforms import Similarity
from scenekit.recipes.configs import to_plain
from scenekit.renderers.background import GivenBackground
from scenekit.renderers.scene import Scene
from scenekit.renderers.volume import Marching, VolumeRenderer
from scenekit.representations.dense_grid import DenseGrid

RADIUS = 0.5
SIZE = 32
MARCHING = Marching(steps=128, grid=32)


def grid(cells: int) -> DenseGrid:
    """A dense grid that stays as it is."""
    return DenseGrid(coarsest=cells, resolution=cells, grow_at=(), shrink=False, harmonics_degree=0)


class Ball(torch.nn.Module):
    """Dense within RADIUS; red on one half, blue on the other."""

    def __init__(self, density: float = 100.0) -> None:
        super().__init__()
        self.bounds = Bounds()
        self.value = torch.nn.Parameter(torch.tensor(density))

    def density(self, samples: Samples) -> tuple[Tensor, Tensor]:
        inside = samples.positions.norm(dim=-1) < RADIUS
        return self.value * inside, samples.positions

    def color(self, features: Tensor, samples: Samples) -> Tensor:
        red = (features[:, 0] > 0).float()
        return torch.stack([0.1 + 0.8 * red, torch.full_like(red, 0.2), 0.9 - 0.8 * red], -1)

    def parameter_groups(self) -> list[ParameterGroup]:
        return [ParameterGroup("value", {"value": self.value}, lambda progress: 0.0)]


def ring(count: int = 12, distance: float = 2.5) -> Cameras:
    """Float64 cameras on a wavy ring about the origin."""
    poses = []
    for index in range(count):
        angle = 2 * math.pi * index / count
        rise = 0.3 + 0.3 * math.sin(3 * angle)
        flat = math.sqrt(1 - rise * rise)
        eye = distance * torch.tensor([flat * math.cos(angle), flat * math.sin(angle), rise], dtype=torch.float64)
        up = torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64)
        poses.append(look_at(eye, torch.zeros(3, dtype=torch.float64), up))
    intrinsics = torch.tensor([[40.0, 40.0, SIZE / 2, SIZE / 2]], dtype=torch.float64).repeat(count, 1)
    return Cameras(torch.stack(poses), intrinsics, ((SIZE, SIZE),) * count)


def ball_renderer(density: float = 100.0) -> VolumeRenderer:
    """The ball with an occupancy grid that knows where it is."""
    renderer = VolumeRenderer(Ball(density), MARCHING)
    renderer.occupancy.update(renderer.field, renderer.occupancy.cells, torch.Generator().manual_seed(0))
    return renderer


def ball_scene(density: float = 100.0, cameras: Cameras | None = None) -> Scene:
    """The ball as a scene; its recipe says dense_grid, which only names it."""
    recipe = {
        "representation": {"name": "dense_grid", "config": to_plain(DenseGrid())},
        "family": {},
        "capture": {"path": "none", "downscale": 1.0},
        "scene": {"background": {"kind": "given", "color": [0.0, 0.0, 0.0]}},
    }
    cameras = ring() if cameras is None else cameras
    return Scene(ball_renderer(density), GivenBackground(), Similarity.identity(), cameras, Bounds(), recipe)
