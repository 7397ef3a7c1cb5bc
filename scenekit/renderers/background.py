"""What is seen where a scene is transparent: a given colour, a random one in training, a learned one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from scenekit.core.cameras import Cameras, Pixels
from scenekit.core.protocols import Context, ParameterGroup
from scenekit.core.schedules import constant

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
            return torch.rand(shape, generator=context.generator, device=intrinsics.device)
        return torch.tensor(self.color, device=intrinsics.device, dtype=intrinsics.dtype)

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
        return [ParameterGroup("background", {"background": self.logits}, constant(1e-2))]


def _given(color: Color) -> GivenBackground:
    return GivenBackground(color)


def _random(color: Color) -> GivenBackground:
    return GivenBackground(color, random_in_training=True)


BACKGROUNDS: dict[str, Callable[[Color], GivenBackground | LearnedBackground]] = {
    "given": _given,
    "random": _random,
    "learned": lambda color: LearnedBackground(),
}
