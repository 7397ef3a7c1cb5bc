"""A grid of features, of cubes or of simplices, and the field on it: what hash grids and simplex grids share."""

from __future__ import annotations

import math
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from scenekit.core.bounds import Bounds
from scenekit.core.protocols import ParameterGroup
from scenekit.core.schedules import exponential
from scenekit.kernels.grid_layout import GridLayout
from scenekit.kernels.hash_grid import hash_grid
from scenekit.kernels.simplex_grid import simplex_grid
from scenekit.representations.radiance import RadianceField
from scenekit.representations.tracing import GridParts


def growth_of(coarsest: int, finest: float, levels: int) -> float:
    """By how much the resolution grows from level to level, so that the last has ``finest`` cells a side."""
    return math.exp(math.log(max(1.0, finest / coarsest)) / max(1, levels - 1))


class GridEncoding(nn.Module):
    """The table of all levels; ``layout`` says what its cells are.

    ``decay`` weighs the sum over levels of the mean square of their entries (Zip-NeRF, section 3), where they are
    touched: a level's few coarse entries are held back more than its many fine ones.
    """

    def __init__(
        self,
        layout: GridLayout,
        features: int,
        learning_rate: float,
        generator: torch.Generator | None,
        decay: float = 0.0,
    ) -> None:
        super().__init__()
        self.layout = layout
        self.dimensions = layout.dimensions
        self.features = layout.levels * features
        self.learning_rate = learning_rate
        self.decay = decay
        table = torch.empty(layout.rows, features)
        self.table = nn.Parameter(table.uniform_(-1e-4, 1e-4, generator=generator))

    @property
    def grid_parts(self) -> GridParts:
        """See :class:`~scenekit.representations.tracing.OnGrid`."""
        return GridParts(self.table, self.layout)

    def forward(self, positions: Float[Tensor, "S D"]) -> Float[Tensor, "S F"]:
        """Blends of the vertices around each position in [0, 1]^D, level after level."""
        encode = simplex_grid if self.layout.simplices else hash_grid
        return encode(positions, self.table, self.layout)

    def parameter_groups(self) -> list[ParameterGroup]:
        """The table learns where it was touched (instant-ngp); the rate ends at a hundredth."""
        rate = exponential(self.learning_rate, self.learning_rate / 100, warm_up=0.01, hold=0.5)
        entries = self.table.shape[1]
        decays = [(rows, 2 * self.decay / (rows * entries)) for rows in self.layout.level_rows] if self.decay else ()
        table = {"encoding.table": self.table}
        return [ParameterGroup("table", table, rate, betas=(0.9, 0.99), decays=decays, sparse=True)]


def field_on_grid(config: Any, bounds: Bounds, generator: torch.Generator | None) -> RadianceField:
    """A field with fresh parameters on the levels of a :class:`HashGrid` or a :class:`SimplexGrid`."""
    layout = config.layout(3, config.finest * bounds.field_extent)
    encoding = GridEncoding(layout, config.features, config.learning_rate, generator, config.decay)
    networks = config.networks.build(encoding.features, generator)
    return RadianceField(encoding, networks, bounds, config.learning_rate)
