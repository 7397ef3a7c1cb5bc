"""Coloured points: what structure from motion leaves, and what Gaussians start from."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from scenekit.core.transforms import Similarity


@dataclass(frozen=True)
class PointCloud:
    """P points: positions (float64 in ``world``, float32 in ``scene``) and sRGB colours in [0, 1]."""

    positions: Float[Tensor, "P 3"]
    colors: Float[Tensor, "P 3"]

    def __len__(self) -> int:
        return self.positions.shape[0]

    def moved(self, b_from_a: Similarity) -> PointCloud:
        """The points after a change of frame."""
        return PointCloud(b_from_a.points(self.positions), self.colors)
