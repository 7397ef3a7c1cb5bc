"""A multi-resolution hash grid with two small networks: density, then colour (instant-ngp)."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from scenekit.core.bounds import Bounds
from scenekit.core.protocols import ParameterGroup, Traced
from scenekit.core.rays import Rays, Samples, Way
from scenekit.core.schedules import exponential
from scenekit.kernels import native
from scenekit.kernels.grid_layout import GridLayout
from scenekit.kernels.hash_grid import hash_grid
from scenekit.kernels.march import StepRule
from scenekit.kernels.trace_hash_grid import GridField, Stretches, trace_hash_grid
from scenekit.representations.networks import Networks, RadianceNetworks


@dataclass(frozen=True)
class HashGrid:
    """Multi-resolution hash grid field.

    Attributes:
        levels: grid levels, coarse to fine.
        features: features an entry holds.
        log2_table: log2 of the entries a level has at most.
        coarsest: vertices a side of the coarsest level, over the whole field.
        finest: cells a side of the finest level, over the inner cube of the scene.
        networks: what makes density and colour of the features.
        learning_rate: at the start; it ends at a hundredth.
    """

    renderer: ClassVar[str] = "volume"

    levels: int = 8
    features: int = 4
    log2_table: int = 19
    coarsest: int = 16
    finest: int = 2048
    networks: Networks = field(default_factory=Networks)
    learning_rate: float = 1e-2

    def layout(self, dimensions: int, finest: float) -> GridLayout:
        """The levels of an encoding whose finest has ``finest`` cells a side of the unit cube."""
        growth = math.exp(math.log(max(1.0, finest / self.coarsest)) / max(1, self.levels - 1))
        return GridLayout.of(
            dimensions, levels=self.levels, log2_table=self.log2_table, base_resolution=self.coarsest, growth=growth
        )

    def encoding(self, dimensions: int, finest: float, generator: torch.Generator | None = None) -> HashGridEncoding:
        """Features of any signal's points; ``finest`` is in cells a side of the unit cube."""
        return HashGridEncoding(self, self.layout(dimensions, finest), generator)

    def build(self, bounds: Bounds, generator: torch.Generator | None = None) -> HashGridField:
        """A field with fresh parameters."""
        return HashGridField(self, bounds, generator)


class HashGridEncoding(nn.Module):
    """The table of all levels; see :class:`HashGrid`."""

    def __init__(self, config: HashGrid, layout: GridLayout, generator: torch.Generator | None) -> None:
        super().__init__()
        self.layout = layout
        self.dimensions = layout.dimensions
        self.features = config.levels * config.features
        self.learning_rate = config.learning_rate
        table = torch.empty(layout.rows, config.features)
        self.table = nn.Parameter(table.uniform_(-1e-4, 1e-4, generator=generator))

    def forward(self, positions: Float[Tensor, "S D"]) -> Float[Tensor, "S F"]:
        """Blends of the vertices around each position in [0, 1]^D, level after level."""
        return hash_grid(positions, self.table, self.layout)

    def parameter_groups(self) -> list[ParameterGroup]:
        """The table learns where it was touched (instant-ngp)."""
        rate = exponential(self.learning_rate, self.learning_rate / 100, warm_up=0.01, hold=0.2)
        return [ParameterGroup("table", {"encoding.table": self.table}, rate, betas=(0.9, 0.99), sparse=True)]


class HashGridField(nn.Module):
    """Density and colour of a hash grid, with fused passes for pictures; see :class:`HashGrid`."""

    def __init__(self, config: HashGrid, bounds: Bounds, generator: torch.Generator | None) -> None:
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

    @torch.no_grad()
    def trace(self, rays: Rays, way: Way) -> Traced | None:
        """See :class:`~scenekit.core.protocols.Tracer`; None without native code."""
        return self._trace(rays, way, shaded=True)

    @torch.no_grad()
    def reach(self, rays: Rays, way: Way) -> Int[Tensor, " R"] | None:
        """See :class:`~scenekit.core.protocols.Tracer`; None without native code."""
        traced = self._trace(rays, way, shaded=False)
        return None if traced is None else traced.samples

    def _trace(self, rays: Rays, way: Way, *, shaded: bool) -> Traced | None:
        if not native.serves(rays.origins, self.encoding.table):
            return None
        field = GridField(
            self.encoding.table,
            self.encoding.layout,
            tuple(self.networks.density_weights),
            tuple(self.networks.color_weights),
            self.networks.log_density,
            self.bounds,
        )
        stretches = Stretches(rays.origins, rays.directions, way.near, way.far, way.jitter)
        return trace_hash_grid(stretches, way.occupancy, StepRule(*way.rule), way.max_samples, field, shaded=shaded)

    def parameter_groups(self) -> list[ParameterGroup]:
        """The encoding's and the networks'."""
        return [*self.encoding.parameter_groups(), *self.networks.parameter_groups(self.config.learning_rate)]
