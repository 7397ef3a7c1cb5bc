"""Coloured points: what structure from motion leaves, what surfaces are sampled as, what Gaussians start from."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from scenekit.core.transforms import Similarity


@dataclass(frozen=True)
class PointCloud:
    """P points.

    Attributes:
        positions: float64 in ``world``, float32 in ``scene``.
        colors: sRGB in [0, 1].
        normals: unit normals of the surfaces that the points lie on, where these are known.
        opacities: in [0, 1], of what the points stand for, where that is known.
    """

    positions: Float[Tensor, "P 3"]
    colors: Float[Tensor, "P 3"]
    normals: Float[Tensor, "P 3"] | None = None
    opacities: Float[Tensor, " P"] | None = None

    def __len__(self) -> int:
        return self.positions.shape[0]

    def __getitem__(self, rows: slice | Tensor) -> PointCloud:
        """Some of the points."""
        return PointCloud(
            self.positions[rows],
            self.colors[rows],
            None if self.normals is None else self.normals[rows],
            None if self.opacities is None else self.opacities[rows],
        )

    def to(self, device: torch.device | str) -> PointCloud:
        """On another device."""
        return PointCloud(
            self.positions.to(device),
            self.colors.to(device),
            None if self.normals is None else self.normals.to(device),
            None if self.opacities is None else self.opacities.to(device),
        )

    def moved(self, b_from_a: Similarity) -> PointCloud:
        """The points after a change of frame."""
        turn = b_from_a.rotation.to(self.positions.device)
        normals = None if self.normals is None else (self.normals.double() @ turn.T).to(self.normals.dtype)
        return replace(self, positions=b_from_a.points(self.positions), normals=normals)
