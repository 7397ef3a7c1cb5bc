"""Where the page stands: the focus of the photographs at its origin, their distance its unit of length.

A browser computes in float32 and its controls assume a scene of about that size; worlds may be as large as a
country's coordinate grid.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from scenekit.core.cameras import Cameras, look_at
from scenekit.core.transforms import Similarity
from scenekit.renderers.paths import focus, up_direction, vertical_field_of_view

MOST_PHOTOGRAPHS = 64


@dataclass(frozen=True)
class Stage:
    """The page's frame and what stands in it.

    Attributes:
        page_from_world: moves and scales, never turns.
        photographs: at most ``MOST_PHOTOGRAPHS`` cameras, evenly chosen, float64 in ``page``; one at least.
        up: a unit vector.
        field_of_view: vertical, in radians.
    """

    page_from_world: Similarity
    photographs: Cameras
    up: Float[Tensor, "3"]
    field_of_view: float

    def world_from_camera(self, page_from_camera: Float[Tensor, "3 4"]) -> Float[Tensor, "3 4"]:
        """A browser's pose, in ``world``."""
        return self.page_from_world.inverse().poses(page_from_camera)


def stage_of(cameras: Cameras) -> Stage:
    """The stage for a capture's cameras in ``world``; a scene without any is seen from in front."""
    if len(cameras) == 0:
        cameras = _in_front()
    target = focus(cameras)
    distance = float((cameras.centres.double() - target).norm(dim=-1).mean())
    page_from_world = Similarity.of(1 / distance if distance > 1e-9 else 1.0, target)
    count = min(len(cameras), MOST_PHOTOGRAPHS)
    chosen = [index * len(cameras) // count for index in range(count)]
    photographs = cameras[chosen].to(dtype=torch.float64).moved(page_from_world)
    return Stage(page_from_world, photographs, up_direction(cameras), vertical_field_of_view(cameras))


def _in_front() -> Cameras:
    eye, up = torch.tensor([[0.0, -3.0, 0.0], [0.0, 0.0, 1.0]], dtype=torch.float64)
    pose = look_at(eye, torch.zeros(3, dtype=torch.float64), up)
    return Cameras(pose[None], torch.tensor([[100.0, 100.0, 50.0, 50.0]], dtype=torch.float64), ((100, 100),))
