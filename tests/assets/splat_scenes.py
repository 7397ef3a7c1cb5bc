"""Small scenes of Gaussians in a frame of their own, as training leaves them."""

from __future__ import annotations

import math

import torch

from scenekit.core.bounds import Bounds
from scenekit.core.cameras import Cameras, look_at
from scenekit.core.transforms import Similarity, matrix_from_quaternion
from scenekit.renderers.background import GivenBackground
from scenekit.renderers.scene import Scene
from scenekit.renderers.splats import SplatRenderer
from scenekit.representations.gaussian_cloud import GaussianCloud, model_of
from tests.representations.gaussian_clouds import sample_cloud


def some_frame() -> Similarity:
    """A training's normalisation: turned, shrunk and shifted."""
    turn = matrix_from_quaternion(torch.tensor([0.3, 0.7, -0.2, 0.4], dtype=torch.float64))
    return Similarity.of(0.25, torch.tensor([10.0, -4.0, 3.0]), turn)


def world_cameras(scene_from_world: Similarity, up: tuple[float, float, float] = (0, 0, 1), count: int = 4) -> Cameras:
    """Cameras on a ring, in ``world``, that look at the origin of ``scene`` with ``up`` up."""
    centre = scene_from_world.inverse().points(torch.zeros(3, dtype=torch.float64))
    top = torch.tensor(up, dtype=torch.float64)
    across = torch.zeros(3, dtype=torch.float64)
    across[int(top.abs().argmin())] = 1
    ahead = torch.nn.functional.normalize(torch.linalg.cross(top, across), dim=0)
    aside = torch.linalg.cross(top, ahead)
    poses = []
    for index in range(count):
        angle = 2 * math.pi * index / count
        eye = centre + 5 / scene_from_world.scale * (math.cos(angle) * ahead + math.sin(angle) * aside + 0.1 * top)
        poses.append(look_at(eye, centre, top))
    intrinsics = torch.tensor([[40.0, 40.0, 24.0, 16.0]], dtype=torch.float64)
    return Cameras(torch.stack(poses), intrinsics.repeat(count, 1), ((48, 32),) * count)


def scene_with(cloud: GaussianCloud, scene_from_world: Similarity, cameras: Cameras) -> Scene:
    """A scene of ``cloud``, which is in ``scene``."""
    renderer = SplatRenderer(model_of(cloud), antialiased=cloud.antialiased)
    return Scene(renderer, GivenBackground((0.2, 0.4, 0.6)), scene_from_world, cameras, Bounds())


def sample_scene(degree: int = 3, *, antialiased: bool = False) -> Scene:
    frame = some_frame()
    return scene_with(sample_cloud(150, degree, antialiased=antialiased), frame, world_cameras(frame))
