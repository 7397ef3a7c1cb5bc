"""A grid of features, of cubes or of simplices, and a field of it: what hash grids and simplex grids share."""

from __future__ import annotations

import math
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from scenekit.core.bounds import Bounds
from scenekit.core.capabilities import Traced
from scenekit.core.protocols import ParameterGroup
from scenekit.core.rays import Rays, Samples, Way
from scenekit.core.schedules import exponential
from scenekit.kernels.grid_layout import GridLayout
from scenekit.kernels.hash_grid import hash_grid
from scenekit.kernels.simplex_grid import simplex_grid
from scenekit.representations.networks import Networks, RadianceNetworks
from scenekit.representations.tracing import GridParts, lit_samples, picture


@runtime_checkable
class GridConfig(Protocol):
    """What a field of either grid is made from."""

    @property
    def finest(self) -> int:
        """Cells a side of the finest level, over the inner cube of the scene."""
        ...

    @property
    def networks(self) -> Networks:
        """What makes density and colour of the features."""
        ...

    @property
    def learning_rate(self) -> float:
        """At the start."""
        ...

    @property
    def decay(self) -> float:
        """Weight of the mean square of every level's entries."""
        ...

    def encoding(self, dimensions: int, finest: float, generator: torch.Generator | None = None) -> GridEncoding:
        """Fresh features."""
        ...


def growth_of(coarsest: int, finest: float, levels: int) -> float:
    """By how much the resolution grows from level to level, so that the last has ``finest`` cells a side."""
    return math.exp(math.log(max(1.0, finest / coarsest)) / max(1, levels - 1))


class GridEncoding(nn.Module):
    """The table of all levels; ``layout`` says what its cells are."""

    def __init__(
        self, layout: GridLayout, features: int, learning_rate: float, generator: torch.Generator | None
    ) -> None:
        super().__init__()
        self.layout = layout
        self.dimensions = layout.dimensions
        self.features = layout.levels * features
        self.learning_rate = learning_rate
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

    def parameter_groups(self, decay: float = 0.0) -> list[ParameterGroup]:
        """The table learns where it was touched (instant-ngp); the rate ends at a hundredth.

        ``decay`` weighs the sum over levels of the mean square of their entries (Zip-NeRF, section 3), where they are
        touched: a level's few coarse entries are held back more than its many fine ones.
        """
        rate = exponential(self.learning_rate, self.learning_rate / 100, warm_up=0.01, hold=0.5)
        entries = self.table.shape[1]
        decays = [(rows, 2 * decay / (rows * entries)) for rows in self.layout.level_rows] if decay else ()
        table = {"encoding.table": self.table}
        return [ParameterGroup("table", table, rate, betas=(0.9, 0.99), decays=decays, sparse=True)]


class GridRadianceField(nn.Module):
    """Density and colour of a grid, with fused passes for pictures."""

    def __init__(self, config: GridConfig, bounds: Bounds, generator: torch.Generator | None) -> None:
        super().__init__()
        self.config = config
        self.bounds = bounds
        self.encoding = config.encoding(3, config.finest * bounds.field_extent, generator)
        self.networks = RadianceNetworks(config.networks, self.encoding.features, generator)

    def density(self, samples: Samples) -> tuple[Float[Tensor, " S"], Float[Tensor, "S F"]]:
        """See :meth:`RadianceNetworks.density`."""
        return self.networks.density(self.encoding(self.bounds.normalize(samples.positions)))

    def color(self, features: Float[Tensor, "S F"], samples: Samples) -> Float[Tensor, "S 3"]:
        """See :meth:`RadianceNetworks.color`."""
        return self.networks.color(features, samples.directions)

    def radiance(self, samples: Samples) -> tuple[Float[Tensor, " S"], Float[Tensor, "S 3"]]:
        """See :class:`~scenekit.core.capabilities.Radiant`."""
        return self.networks.radiance(self.encoding(self.bounds.normalize(samples.positions)), samples.directions)

    def trace(self, rays: Rays, way: Way) -> Traced | None:
        """See :class:`~scenekit.core.capabilities.Tracer`; None without native code."""
        return picture(self, rays, way)

    def reach(self, rays: Rays, way: Way, room: int | None = None) -> Int[Tensor, " R"] | None:
        """See :class:`~scenekit.core.capabilities.Tracer`; None without native code."""
        return lit_samples(self, rays, way, room)

    def parameter_groups(self) -> list[ParameterGroup]:
        """The encoding's and the networks'."""
        return [
            *self.encoding.parameter_groups(self.config.decay),
            *self.networks.parameter_groups(self.config.learning_rate),
        ]
