"""What is seen where a scene is transparent: a given colour, a random one in training, a learned one, a learned sky."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from scenekit.core.cameras import Cameras, Pixels, every_pixel
from scenekit.core.constants import constant
from scenekit.core.protocols import Context, ParameterGroup
from scenekit.core.schedules import constant as steady
from scenekit.kernels.rays import rays_of

Color = tuple[float, float, float]
BLACK: Color = (0.0, 0.0, 0.0)
WHITE: Color = (1.0, 1.0, 1.0)


@dataclass(frozen=True)
class GivenBackground:
    """One colour everywhere; with ``random_in_training`` a random one a pixel, or an image, while training.

    A random background leaves no reward for half-transparent surfaces of the background's own colour.
    """

    color: Color = BLACK
    random_in_training: bool = False

    def colors(self, cameras: Cameras, pixels: Pixels | None, context: Context) -> Tensor:
        """[3], or in random training [R 3] for pixels and [C 1 1 3] for images."""
        intrinsics = cameras.intrinsics
        if context.training and self.random_in_training:
            shape = (len(cameras), 1, 1, 3) if pixels is None else (len(pixels), 3)
            return context.uniform(shape, intrinsics.device)
        return constant(self.color, intrinsics.device, intrinsics.dtype)

    def parameter_groups(self) -> list[ParameterGroup]:
        """Nothing to learn."""
        return []

    def state_dict(self) -> dict[str, Tensor]:
        """Nothing to keep."""
        return {}

    def load_state_dict(self, state: object) -> None:
        """Nothing to load."""


class LearnedBackground(nn.Module):
    """One colour everywhere, learned with the scene."""

    def __init__(self, color: Color = (0.5, 0.5, 0.5)) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.logit(torch.tensor(color), eps=1e-3))

    def colors(self, cameras: Cameras, pixels: Pixels | None, context: Context) -> Tensor:
        """[3]."""
        return self.logits.sigmoid()

    def parameter_groups(self) -> list[ParameterGroup]:
        """The colour, in logits."""
        return [ParameterGroup("background", {"background": self.logits}, steady(1e-2))]


@runtime_checkable
class DirectionColors(Protocol):
    """Colours of directions: what a :class:`SphereBackground` is made of."""

    def __call__(self, directions: Float[Tensor, "R 3"]) -> Float[Tensor, "R 3"]:
        """Colours in [0, 1] of unit directions in ``scene``."""
        ...

    def parameter_groups(self) -> list[ParameterGroup]:
        """What learns, and how."""
        ...


class SphereBackground(nn.Module):
    """A colour for every direction, learned with the scene: what is too far away to move."""

    def __init__(self, sphere: DirectionColors) -> None:
        super().__init__()
        self.sphere = sphere

    def colors(self, cameras: Cameras, pixels: Pixels | None, context: Context) -> Tensor:
        """[R 3] for pixels, [C H W 3] for whole images of one size."""
        rays = rays_of(cameras, every_pixel(cameras) if pixels is None else pixels)
        colors = self.sphere(rays.directions)
        if pixels is not None:
            return colors
        width, height = cameras.sizes[0]
        return colors.reshape(len(cameras), height, width, 3)

    def parameter_groups(self) -> list[ParameterGroup]:
        """The sphere's."""
        return self.sphere.parameter_groups()
