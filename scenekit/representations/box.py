"""The part of a field's cube that its tables cover, tightened about what is dense while it is trained."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from scenekit.core.bounds import Bounds

LATTICE = 64  # points a side at which density is looked for
VISIBLE = 0.01  # optical thickness of a lattice cell that is something
ABOVE_FOG = 3.0  # and it must stand out from the density that all began with


class Box(nn.Module):
    """Lower and upper corner in the unit cube of the field; the whole cube at first."""

    corners: Float[Tensor, "2 3"]

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("corners", torch.tensor([[0.0] * 3, [1.0] * 3]))

    def places(self, positions: Float[Tensor, "S 3"]) -> tuple[Float[Tensor, "S 3"], Bool[Tensor, " S"]]:
        """Positions in units of the box, moved to its faces where they are outside; and which are inside."""
        low, high = self.corners
        places = (positions - low) / (high - low)
        clamped = places.clamp(0, 1)
        return clamped, (places == clamped).all(-1)

    @torch.no_grad()
    def tighten(
        self, density: Callable[[Float[Tensor, "S 3"]], Float[Tensor, " S"]], fog: float, bounds: Bounds
    ) -> tuple[Float[Tensor, " 3"], Float[Tensor, " 3"]]:
        """Shrink to what is dense and a lattice cell about it; returns the corners in units of the old box.

        ``density`` is a function of places in the box. A box without anything in it stays.
        """
        device = self.corners.device
        ticks = (torch.arange(LATTICE, device=device) + 0.5) / LATTICE
        planes = (torch.cartesian_prod(tick[None], ticks, ticks) for tick in ticks)
        values = torch.stack([density(plane) for plane in planes]).unflatten(1, (LATTICE, LATTICE))
        cell = float((self.corners[1] - self.corners[0]).min()) * 2 * bounds.field_extent / LATTICE
        dense = values > max(VISIBLE / cell, ABOVE_FOG * fog)
        if not dense.any():
            return torch.zeros(3, device=device), torch.ones(3, device=device)
        along = [dense.any(dim=(1, 2)), dense.any(dim=(0, 2)), dense.any(dim=(0, 1))]
        ends = [axis.nonzero().squeeze(-1)[[0, -1]] for axis in along]
        low = torch.stack([(end[0] - 1) / LATTICE for end in ends]).clamp(min=0)
        high = torch.stack([(end[1] + 2) / LATTICE for end in ends]).clamp(max=1)
        size = self.corners[1] - self.corners[0]
        self.corners.copy_(torch.stack([self.corners[0] + low * size, self.corners[0] + high * size]))
        return low, high
