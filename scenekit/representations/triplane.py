"""Planes of features across every pair of axes, at several resolutions (EG3D, K-Planes): three in space, one in 2-D."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import reduce
from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from scenekit.core.bounds import Bounds
from scenekit.core.protocols import Context, ParameterGroup
from scenekit.core.schedules import exponential
from scenekit.kernels.grid_layout import GridLayout
from scenekit.kernels.hash_grid import hash_grid
from scenekit.representations.networks import Networks
from scenekit.representations.planes import columns, total_variation
from scenekit.representations.radiance import RadianceField


@dataclass(frozen=True)
class Triplane:
    """Tri-plane field.

    Attributes:
        levels: resolutions, coarse to fine.
        features: of a point in a level.
        coarsest: cells a side of the coarsest level, over the whole field.
        finest: cells a side of the finest level, over the inner cube of the scene.
        combination: of the planes' features; a sum is easier to fit (EG3D), a product can be zero in all but one
            place (K-Planes) but finds wrong places from few photographs.
        smoothness: weight of the planes' total variation.
        networks: what makes density and colour of the features.
        learning_rate: at the start; it ends at a hundredth.
    """

    renderer: ClassVar[str] = "volume"

    levels: int = 4
    features: int = 16
    coarsest: int = 64
    finest: int = 256
    combination: Literal["sum", "product"] = "sum"
    smoothness: float = 0.01
    networks: Networks = field(default_factory=Networks)
    learning_rate: float = 2e-2

    def layout(self, finest: float) -> GridLayout:
        """The levels of one plane whose finest has ``finest`` cells a side of the unit square."""
        ratio = max(1.0, finest / self.coarsest)
        steps = max(1, self.levels - 1)
        return GridLayout.dense(2, [round(self.coarsest * ratio ** (level / steps)) for level in range(self.levels)])

    def encoding(self, dimensions: int, finest: float, generator: torch.Generator | None = None) -> TriplaneEncoding:
        """Features of any signal's points, at least 2-D; ``finest`` is in cells a side of the unit cube."""
        return TriplaneEncoding(self, dimensions, self.layout(finest), generator)

    def build(self, bounds: Bounds, generator: torch.Generator | None = None) -> RadianceField:
        """A field with fresh parameters."""
        encoding = self.encoding(3, self.finest * bounds.field_extent, generator)
        networks = self.networks.build(encoding.features, generator)
        return RadianceField(encoding, networks, bounds, self.learning_rate)


class TriplaneEncoding(nn.Module):
    """One table for each pair of axes, all levels in it; see :class:`Triplane`."""

    def __init__(
        self, config: Triplane, dimensions: int, layout: GridLayout, generator: torch.Generator | None
    ) -> None:
        super().__init__()
        if dimensions < 2:
            raise ValueError(f"dimensions: wanted at least 2 for planes, found {dimensions}")
        self.config = config
        self.dimensions = dimensions
        self.features = config.levels * config.features
        self.layout = layout
        self.axes = list(itertools.combinations(range(dimensions), 2))
        low, high = _start(config, len(self.axes))
        planes = (torch.empty(layout.rows, config.features).uniform_(low, high, generator=generator) for _ in self.axes)
        self.planes = nn.ParameterList(nn.Parameter(plane) for plane in planes)

    def forward(self, positions: Float[Tensor, "S D"]) -> Float[Tensor, "S F"]:
        """Bilinear blends of every plane, combined; level after level."""
        found = (
            hash_grid(columns(positions, axes), plane, self.layout)
            for axes, plane in zip(self.axes, self.planes, strict=True)
        )
        return reduce(torch.mul if self.config.combination == "product" else torch.add, found)

    def terms(self, context: Context) -> Mapping[str, Float[Tensor, ""]]:
        """Total variation, the mean over planes and levels."""
        if self.config.smoothness <= 0:
            return {}
        values = [total_variation(plane, self.layout) for plane in self.planes]
        return {"smoothness": self.config.smoothness * torch.stack(values).mean()}

    def parameter_groups(self) -> list[ParameterGroup]:
        """The planes learn where they were touched."""
        rate = exponential(self.config.learning_rate, self.config.learning_rate / 100, warm_up=0.01, hold=0.2)
        planes = {f"encoding.{name}": plane for name, plane in self.named_parameters()}
        return [ParameterGroup("planes", planes, rate, betas=(0.9, 0.99), sparse=True)]


def _start(config: Triplane, planes: int) -> tuple[float, float]:
    """Values at the start: factors about 1, or summands about 0, so that either way features are small changes."""
    return (-0.1, 0.1) if config.combination == "sum" or planes == 1 else (0.1, 0.5)
