"""The contracts of fields that are no scenes: values of points, and the encodings that serve them."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from scenekit.core.protocols import Encoding, ParameterGroup


@runtime_checkable
class Encoder(Protocol):
    """What a representation's config may also be: one whose encoding suits any signal, not scenes alone."""

    def encoding(self, dimensions: int, finest: float, generator: torch.Generator | None = None) -> Encoding:
        """A fresh encoding of points in [0, 1]^D; ``finest`` is the detail wanted, in cells a side."""
        ...


@runtime_checkable
class PointField(Protocol):
    """Learnt values of points in the unit cube: pictures, panoramas, distances, volumes.

    Attributes:
        dimensions: of the points.
        channels: of the values.
    """

    dimensions: int
    channels: int

    def __call__(self, positions: Float[Tensor, "S D"]) -> Float[Tensor, "S C"]:
        """Values of positions in [0, 1]^D; gradients to parameters and positions."""
        ...

    def parameter_groups(self) -> list[ParameterGroup]:
        """What learns, and how."""
        ...
