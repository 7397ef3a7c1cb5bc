"""What a :class:`~scenekit.core.protocols.Field` may also be: with faster ways to the same answers, or growing."""

from __future__ import annotations

from typing import NamedTuple, Protocol, runtime_checkable

from jaxtyping import Float, Int
from torch import Tensor

from scenekit.core.rays import Rays, Samples, Way


class Traced(NamedTuple):
    """What rays see of a field, without a background.

    Attributes:
        colors: multiplied by opacity.
        opacities: in [0, 1].
        distances: sum of weight times distance, not divided by the opacity.
        samples: how many samples of each ray light reaches.
    """

    colors: Float[Tensor, "R 3"]
    opacities: Float[Tensor, " R"]
    distances: Float[Tensor, " R"]
    samples: Int[Tensor, " R"]


@runtime_checkable
class Tracer(Protocol):
    """What a field may also be: one with fused paths, without gradients.

    They see what ``density`` and ``color`` composited sample by sample would show, up to rounding, and are None
    where the field has no faster way for such tensors.
    """

    def trace(self, rays: Rays, way: Way) -> Traced | None:
        """March, ask and composite in one go: pictures."""
        ...

    def reach(self, rays: Rays, way: Way, room: int | None = None) -> Int[Tensor, " R"] | None:
        """How many samples of each ray light reaches: what training needs to ask with gradients.

        Rays behind others whose samples fill ``room`` rows may have ``room + 1``: they need not be followed.
        """
        ...


@runtime_checkable
class Radiant(Protocol):
    """What a field may also be: one that knows both answers of a sample at once, as training asks for them."""

    def radiance(self, samples: Samples) -> tuple[Float[Tensor, " S"], Float[Tensor, "S 3"]]:
        """Densities and colours: what ``density``, then ``color`` say."""
        ...


@runtime_checkable
class Growing(Protocol):
    """What a field may also be: one that has more parameters at the end of a training than at its start."""

    def most_parameters(self) -> int:
        """How many numbers it learns in the end."""
        ...
