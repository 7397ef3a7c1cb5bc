"""A field that is written down: a bright, a dark and a shiny ball, so that a bake has something to get wrong."""

import torch

from scenekit.core.bounds import Bounds
from scenekit.core.transforms import Similarity
from scenekit.renderers.background import GivenBackground
from scenekit.renderers.scene import Scene
from scenekit.renderers.volume import Marching, VolumeRenderer

BACKGROUND = (51 / 255, 102 / 255, 1.0)
BALLS = torch.tensor([[0.0, 0.0, 0.0, 0.45], [0.5, 0.3, 0.2, 0.25], [-0.4, -0.3, 0.4, 0.2]])
COLORS = torch.tensor([[0.9, 0.4, 0.1], [0.1, 0.2, 0.3], [0.2, 0.8, 0.5]])


class Balls:
    """Soft balls; the farther out, the larger where the scene has no end."""

    def __init__(self, bounds=None):
        self.bounds = bounds or Bounds()
        self.balls, self.colors = BALLS, COLORS
        if self.bounds.extent > 1:
            self.balls = torch.cat([BALLS, torch.tensor([[2.2, -0.5, 1.0, 0.8], [-1.5, 1.0, -2.0, 0.9]])])
            self.colors = torch.cat([COLORS, torch.tensor([[0.7, 0.7, 0.2], [0.6, 0.1, 0.6]])])

    def density(self, samples):
        distances = (samples.positions[:, None] - self.balls[:, :3]).norm(dim=-1) - self.balls[:, 3]
        softness = 0.03 * self.balls[:, 3] / 0.25
        parts = 60 * torch.sigmoid(-distances / softness)
        return parts.sum(-1), parts

    def color(self, features, samples):
        share = features / features.sum(-1, keepdim=True).clamp(min=1e-9)
        stripes = 0.75 + 0.25 * torch.sin(14 * samples.positions[:, :1])
        gleam = 0.3 * samples.directions[:, 1:2].clamp(min=0)
        return (share @ self.colors * stripes + gleam).clamp(0, 1)

    def parameter_groups(self):
        return []


def balls_scene(cameras, *, extent=1.0, grid=32, scene_from_world=None):
    """The balls as a scene, with an occupancy grid that has found them."""
    field = Balls(Bounds(extent, near=0.05))
    renderer = VolumeRenderer(field, Marching(steps=256, grid=grid))
    generator = torch.Generator().manual_seed(0)
    for _ in range(4):
        renderer.occupancy.update(field, renderer.occupancy.cells, generator)
    frame = scene_from_world or Similarity.identity()
    return Scene(renderer, GivenBackground(BACKGROUND), frame, cameras, field.bounds)
