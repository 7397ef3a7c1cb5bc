"""Where a scene is: a cube about the origin of ``scene``, or all of space contracted into one.

The unit cube [-1, 1]^3 is the *inner* scene, at full resolution. ``extent`` says how far the bounded scene
reaches (the cube [-extent, extent]^3; instant-ngp's ``aabb_scale``). An unbounded scene keeps the inner ball
as it is and contracts the rest into the shell of radius 2 (mip-NeRF 360, eq. 10).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from scenekit.core.constants import constant


@dataclass(frozen=True)
class Bounds:
    """The region a field answers for.

    Attributes:
        extent: half the side of the marched cube, in scene units; a power of two.
        contracted: whether positions are contracted before a field sees them.
        near: distance from the camera where rays begin, in scene units.
    """

    extent: float = 1.0
    contracted: bool = False
    near: float = 0.0

    @property
    def cascades(self) -> int:
        """Nested cubes that cover the scene: cascade k is [-2^k, 2^k]^3."""
        return max(1, math.ceil(math.log2(self.extent)) + 1)

    @property
    def field_extent(self) -> float:
        """Half the side of the cube that :meth:`normalize` maps to [0, 1]^3."""
        return 2.0 if self.contracted else self.extent

    def normalize(self, positions: Float[Tensor, "S 3"]) -> Float[Tensor, "S 3"]:
        """Scene positions to [0, 1]^3, contracted if the scene is unbounded."""
        inside = contract(positions) if self.contracted else positions
        middle = constant((0.5,), positions.device, positions.dtype)
        return torch.add(middle, inside, alpha=1 / (2 * self.field_extent))  # in one pass over them


def contract(positions: Float[Tensor, "S 3"]) -> Float[Tensor, "S 3"]:
    """``x`` inside the unit ball, ``(2 - 1/|x|) x/|x|`` outside (mip-NeRF 360, eq. 10)."""
    squared = positions.square().sum(-1, keepdim=True)
    # The clamp keeps the gradient finite at the origin, where the factor is 1 anyway.
    inverse = squared.clamp(min=1.0).rsqrt()
    return positions * ((2 - inverse) * inverse)


def expand(contracted: Float[Tensor, "S 3"]) -> Float[Tensor, "S 3"]:
    """Undo :func:`contract`; the shell's outer surface goes very far, never to infinity."""
    squared = contracted.square().sum(-1, keepdim=True)
    # The clamp keeps the gradient finite at the origin, as above.
    length = squared.clamp(min=1.0).sqrt()
    return torch.where(squared > 1, contracted / ((2 - length).clamp(min=1e-6) * length), contracted)
