"""A box outside of which nothing is seen: a matter of pictures, not of what was learnt."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from scenekit.core.protocols import Context, Medium
from scenekit.core.rays import Samples


@dataclass(frozen=True)
class Cropped:
    """A medium that is empty outside of the context's box."""

    medium: Medium
    context: Context

    def density(self, samples: Samples) -> tuple[Float[Tensor, " S"], Float[Tensor, "S F"]]:
        """See :class:`~scenekit.core.protocols.Medium`."""
        density, features = self.medium.density(samples)
        if self.context.crop is None:
            return density, features
        return torch.where(self.context.keeps(samples.positions), density, 0.0), features

    def color(self, features: Float[Tensor, "S F"], samples: Samples) -> Float[Tensor, "S 3"]:
        """See :class:`~scenekit.core.protocols.Medium`."""
        return self.medium.color(features, samples)


def refuse(context: Context) -> None:
    """Raise ValueError where a crop is asked for."""
    if context.crop is not None:
        raise ValueError("crop: wanted splats or a field, found a picture or a distance; show it whole")
