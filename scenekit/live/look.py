"""What one browser wants to see."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from scenekit.core.cameras import Cameras

Channel = Literal["colour", "depth", "opacity"]
Backdrop = Literal["its own", "black", "white"]
CHANNELS: tuple[Channel, ...] = get_args(Channel)
BACKDROPS: tuple[Backdrop, ...] = get_args(Backdrop)
MOST_PIXELS = 2560.0 * 1440.0  # of a picture, whatever size a browser says it has


@dataclass(frozen=True)
class Look:
    """One view of one scene.

    Attributes:
        world_from_camera: float64, OpenCV axes.
        field_of_view: vertical, in radians.
        aspect: width of the window over its height.
        height: rows of the finished picture.
        scene: index of the scene shown.
        channel: what of it.
        backdrop: behind it.
    """

    world_from_camera: Float[Tensor, "3 4"]
    field_of_view: float
    aspect: float
    height: int
    scene: int = 0
    channel: Channel = "colour"
    backdrop: Backdrop = "its own"

    def is_proper(self) -> bool:
        """Whether a picture can be taken; browsers may send anything."""
        numbers = (self.field_of_view, self.aspect, float(self.height))
        return (
            bool(self.world_from_camera.isfinite().all())
            and all(math.isfinite(number) and number > 0 for number in numbers)
            and self.field_of_view < math.pi
            and 0.01 < self.aspect < 100
        )

    def size(self, pixels: float = MOST_PIXELS) -> tuple[int, int]:
        """Width and height of at most ``pixels`` pixels, and no more than the finished picture has."""
        height = min(float(self.height), math.sqrt(min(pixels, MOST_PIXELS) / self.aspect))
        return max(1, int(height * self.aspect)), max(1, int(height))

    def cameras(self, size: tuple[int, int]) -> Cameras:
        """The one camera that takes this view at ``size``; the page stretches the picture to its window."""
        width, height = size
        focal = height / (2 * math.tan(self.field_of_view / 2))
        across = focal * width / (height * self.aspect)
        intrinsics = torch.tensor([[across, focal, width / 2, height / 2]], dtype=torch.float64)
        return Cameras(self.world_from_camera[None], intrinsics, (size,))
