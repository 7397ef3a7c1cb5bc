"""What a signal answers: values of points in the unit cube, and plain facts that its field is built from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class Facts:
    """Everything about a signal that a field of it is built, rendered and described with.

    Attributes:
        kind: image, panorama, surface or volume.
        path: of the file, or the name of a synthetic signal.
        dimensions: of the points.
        channels: of the values.
        finest: cells a side of the unit cube beyond which there is no detail.
        size: (width, height) of pictures, (x, y, z) of volumes; empty for surfaces.
        linear: whether values are logarithms of linear light (``core.tone.log_light``), rather than sRGB in [0, 1].
        scale: densities of a volume are values times this, per side of its longest axis; a surface's longest side
            in the units of its file.
        centre: of a surface, in the units of its file.
    """

    kind: str
    path: str
    dimensions: int
    channels: int
    finest: float
    size: tuple[int, ...] = ()
    linear: bool = False
    scale: float = 1.0
    centre: tuple[float, ...] = ()


class Points(NamedTuple):
    """Points in the unit cube and the signal's values there."""

    positions: Float[Tensor, "S D"]
    values: Float[Tensor, "S C"]


@runtime_checkable
class Signal(Protocol):
    """One file that a field can learn."""

    @property
    def facts(self) -> Facts:
        """What it is."""
        ...

    @property
    def device(self) -> torch.device:
        """Where its points are, and where the generators are that draw them."""
        ...

    @property
    def nbytes(self) -> int:
        """How much memory it takes there."""
        ...

    def to(self, device: torch.device) -> Signal:
        """Another that answers on ``device``."""
        ...

    def sample(self, count: int, generator: torch.Generator | None) -> Points:
        """Random points, where training should look, and their values."""
        ...

    def detail(self, count: int, generator: torch.Generator | None) -> tuple[Float[Tensor, "M D"], Float[Tensor, " M"]]:
        """Random points and weights >= 0 that say how much detail is there, for adaptive encodings."""
        ...
