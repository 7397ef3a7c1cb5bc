"""What one browser wants to see."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from scenekit.core.cameras import Cameras
from scenekit.core.transforms import Similarity
from scenekit.renderers.background import Color

Channel = Literal["colour", "depth", "opacity", "normals", "error"]
CHANNELS: tuple[Channel, ...] = get_args(Channel)
MOST_PIXELS = 2560.0 * 1440.0  # of a picture, whatever size a browser says it has


@dataclass(frozen=True)
class Layer:
    """A scene where a browser has put it.

    Attributes:
        scene: its index.
        world_from_own: from the scene's own world to the one that all share.
    """

    scene: int = 0
    world_from_own: Similarity = field(default_factory=Similarity.identity)


@dataclass(frozen=True)
class Look:
    """One view of one scene, or of several together.

    Attributes:
        world_from_camera: float64, OpenCV axes.
        field_of_view: vertical, in radians.
        aspect: width of the window over its height.
        height: rows of the finished picture.
        layers: what is shown.
        channel: what of it.
        backdrop: behind it; the first layer's own where None.
        crop: [3 4], takes positions in ``world`` to a box of sides [-1, 1], outside of which nothing is shown.
        beside: shown instead of ``layers`` to the right of ``split``, a share of the width; nothing where empty.
    """

    world_from_camera: Float[Tensor, "3 4"]
    field_of_view: float
    aspect: float
    height: int
    layers: tuple[Layer, ...] = (Layer(),)
    channel: Channel = "colour"
    backdrop: Color | None = None
    crop: Float[Tensor, "3 4"] | None = None
    beside: tuple[Layer, ...] = ()
    split: float = 0.5

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
