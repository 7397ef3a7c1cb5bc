"""A scene that costs nothing: a ball of analytic colours before a transparent background."""

import time

import torch

from scenekit.core.bounds import Bounds
from scenekit.core.cameras import Cameras, every_pixel, look_at
from scenekit.core.protocols import EVAL, Rendering
from scenekit.core.transforms import Similarity
from scenekit.kernels.rays import rays_of
from scenekit.renderers.background import GivenBackground
from scenekit.renderers.scene import Scene

BACKGROUND = (0.1, 0.3, 0.6)


class BallRenderer:
    """The unit ball, coloured by its normals. ``failure`` is raised instead of rendering where it is set."""

    def __init__(self, batching="pixels", seconds_per_pixel=0.0):
        self.batching = batching
        self.seconds_per_pixel = seconds_per_pixel
        self.failure = None
        self.rendered = []

    def render(self, cameras, pixels=None, *, context=EVAL):
        chosen = every_pixel(cameras) if pixels is None else pixels
        if self.failure is not None:
            raise self.failure
        self.rendered.append(len(chosen))
        time.sleep(self.seconds_per_pixel * len(chosen))
        rays = rays_of(cameras, chosen)
        along = (rays.origins * rays.directions).sum(-1)
        inside = along.square() - rays.origins.square().sum(-1) + 1
        distance = -along - inside.clamp(min=0).sqrt()
        hit = ((inside > 0) & (distance > 0)).float()
        normals = rays.origins + distance[:, None] * rays.directions
        color = (0.5 + 0.5 * normals) * hit[:, None]
        depth = distance * rays.z_per_distance * hit
        if pixels is None:
            (width, height), *_ = cameras.sizes
            shape = (len(cameras), height, width)
            return Rendering(color.reshape(*shape, 3), hit.reshape(shape), depth.reshape(shape))
        return Rendering(color, hit, depth)

    def parameter_groups(self):
        return []

    def state_dict(self):
        return {}

    def load_state_dict(self, state):
        return None


def ball_scene(renderer=None, offset=(100.0, 50.0, 0.0), scale=0.5):
    """A scene whose world is moved and twice as large as its ``scene``; four cameras around."""
    centre = torch.tensor(offset, dtype=torch.float64)
    up = torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64)
    eyes = [(6.0, 0.0, 2.0), (0.0, 6.0, 2.0), (-6.0, 0.0, 2.0), (0.0, -6.0, 2.0)]
    poses = [look_at(centre + torch.tensor(eye, dtype=torch.float64), centre, up) for eye in eyes]
    intrinsics = torch.tensor([[90.0, 90.0, 60.0, 40.0]] * 4, dtype=torch.float64)
    cameras = Cameras(torch.stack(poses), intrinsics, ((120, 80),) * 4)
    return Scene(
        renderer or BallRenderer(),
        GivenBackground(BACKGROUND),
        Similarity.of(scale, centre),
        cameras,
        Bounds(),
        {"representation": {"name": "ball"}},
    )
