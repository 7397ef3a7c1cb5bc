"""A multi-resolution grid of simplices with two small networks (arXiv 2311.15439): fewer vertices a point."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import torch

from scenekit.core.bounds import Bounds
from scenekit.kernels.grid_layout import GridLayout
from scenekit.kernels.simplex_grid import simplex_layout
from scenekit.representations.grid_encoding import GridEncoding, field_on_grid, growth_of
from scenekit.representations.networks import Networks
from scenekit.representations.radiance import RadianceField


@dataclass(frozen=True)
class SimplexGrid:
    """Multi-resolution simplex grid field; 4 vertices a point where a hash grid has 8.

    The numbers mean what they mean in a hash grid: with equal ``coarsest``, ``finest`` and ``levels`` both have as many
    vertices in each level. The simplices are larger for that, ``N_simplex = N_grid * (d + 1)^(-1 / 2d)``.

    Attributes:
        levels: grid levels, coarse to fine.
        features: features an entry holds.
        log2_table: log2 of the entries a level has at most.
        coarsest: the coarsest level has as many vertices as a cube of this many a side, over the whole field.
        finest: the finest level has as many as a cube of this many a side, over the inner cube of the scene.
        networks: what makes density and colour of the features.
        learning_rate: at the start; it ends at a hundredth.
        decay: weight of the mean square of every level's entries, which keeps what few pixels see from being made up.
    """

    renderer: ClassVar[str] = "volume"

    levels: int = 8
    features: int = 4
    log2_table: int = 19
    coarsest: int = 16
    finest: int = 2048
    networks: Networks = field(default_factory=Networks)
    learning_rate: float = 1e-2
    decay: float = 0.01

    def layout(self, dimensions: int, finest: float) -> GridLayout:
        """The levels whose finest has ``finest`` cells of a grid of cubes a side of the unit cube."""
        growth = growth_of(self.coarsest, finest, self.levels)
        return simplex_layout(
            dimensions, levels=self.levels, log2_table=self.log2_table, base_resolution=self.coarsest, growth=growth
        )

    def encoding(self, dimensions: int, finest: float, generator: torch.Generator | None = None) -> GridEncoding:
        """Features of any signal's points; see :meth:`layout`."""
        return GridEncoding(self.layout(dimensions, finest), self.features, self.learning_rate, generator)

    def build(self, bounds: Bounds, generator: torch.Generator | None = None) -> RadianceField:
        """A field with fresh parameters."""
        return field_on_grid(self, bounds, generator)
