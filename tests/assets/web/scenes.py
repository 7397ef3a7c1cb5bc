"""Small scenes of splats with everything that a page must get right: harmonics, colours beyond white, any turn."""

import json

import torch
from torch import nn

from scenekit.assets.web import export_web
from scenekit.core.bounds import Bounds
from scenekit.core.cameras import Cameras, look_at
from scenekit.core.protocols import Splats
from scenekit.core.transforms import Similarity, matrix_from_quaternion
from scenekit.renderers.background import GivenBackground
from scenekit.renderers.scene import Scene
from scenekit.renderers.splats import SplatRenderer

BACKGROUND = (51 / 255, 102 / 255, 1.0)


class FixedSplats(nn.Module):
    def __init__(self, splats):
        super().__init__()
        self.given = splats

    def splats(self, cameras, context):
        return self.given

    def parameter_groups(self):
        return []


def random_splats(count, degree=3, seed=0, size=0.08):
    make = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(*shape, generator=make)

    means = normal(count, 3) * torch.tensor([0.5, 0.4, 0.5])
    means[:: max(1, count // 10)] *= 12
    scales = (normal(count, 3) * 0.7).exp() * size
    opacities = torch.rand(count, generator=make)
    harmonics = normal(count, (degree + 1) ** 2, 3) * 0.15
    harmonics[:, 0] = normal(count, 3)
    return Splats(means, normal(count, 4), scales, opacities, harmonics[:, :1], harmonics[:, 1:], degree)


def ring(count=4, size=(160, 100)):
    """Cameras in ``world`` about the origin, some of them with their principal point off the middle."""
    poses = []
    for index in range(count):
        angle = torch.tensor(2 * torch.pi * index / count, dtype=torch.float64)
        eye = torch.stack([2.5 * angle.sin(), torch.tensor(-0.6 + 0.3 * index), 2.5 * angle.cos()])
        poses.append(look_at(eye, torch.zeros(3, dtype=torch.float64), torch.tensor([0.0, -1.0, 0.0]).double()))
    width, height = size
    lens = torch.tensor([[0.9 * width, 0.95 * width, 0.5 * width, 0.45 * height]], dtype=torch.float64)
    return Cameras(torch.stack(poses), lens.expand(count, 4).clone(), (size,) * count)


def splat_scene(splats, *, antialiased=False, scene_from_world=None, cameras=None):
    renderer = SplatRenderer(FixedSplats(splats), antialiased=antialiased)
    frame = scene_from_world or Similarity.identity()
    return Scene(renderer, GivenBackground(BACKGROUND), frame, ring() if cameras is None else cameras, Bounds())


def turned(scale=1.7):
    turn = matrix_from_quaternion(torch.tensor([0.8, 0.3, -0.4, 0.2], dtype=torch.float64))
    return Similarity.of(scale, torch.tensor([0.3, -0.2, 0.1], dtype=torch.float64), turn)


def page_of(target, scenes, **options):
    export_web(scenes, target, **options)
    return json.loads((target / "scene.json").read_text())
