"""A multi-resolution hash grid with two small networks: density, then colour (instant-ngp)."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from scenekit.core.bounds import Bounds
from scenekit.core.protocols import ParameterGroup, Traced
from scenekit.core.rays import Rays, Samples
from scenekit.core.schedules import exponential
from scenekit.kernels import native
from scenekit.kernels.hash_grid import GridLayout, hash_grid
from scenekit.kernels.march import StepRule
from scenekit.kernels.mlp import mlp
from scenekit.kernels.spherical_harmonics import spherical_harmonics
from scenekit.kernels.trace_hash_grid import GridField, Stretches, trace_hash_grid
from scenekit.representations.activations import truncated_exp


@dataclass(frozen=True)
class HashGrid:
    """Multi-resolution hash grid field.

    Attributes:
        levels: grid levels, coarse to fine.
        features: features an entry holds.
        log2_table: log2 of the entries a level has at most.
        coarsest: vertices a side of the coarsest level, over the whole field.
        finest: cells a side of the finest level, over the inner cube of the scene.
        width: of the hidden layers.
        density_layers: hidden layers of the density network.
        color_layers: hidden layers of the colour network.
        geometry_features: outputs of the density network; the first is the raw density, all enter the colour.
        harmonics_degree: spherical-harmonic degree of the viewing direction.
        initial_density: everywhere at the start, per scene unit; fog at the start hides what is behind it.
        learning_rate: at the start; it ends at a hundredth.
    """

    renderer: ClassVar[str] = "volume"

    levels: int = 8
    features: int = 4
    log2_table: int = 19
    coarsest: int = 16
    finest: int = 2048
    width: int = 64
    density_layers: int = 1
    color_layers: int = 2
    geometry_features: int = 16
    harmonics_degree: int = 3
    initial_density: float = 0.1
    learning_rate: float = 1e-2

    def layout(self, bounds: Bounds) -> GridLayout:
        """The levels for a scene: the growth factor reaches ``finest`` in the inner cube."""
        span = self.finest * bounds.field_extent / self.coarsest
        growth = math.exp(math.log(span) / max(1, self.levels - 1))
        return GridLayout.of(
            levels=self.levels, log2_table=self.log2_table, base_resolution=self.coarsest, growth=growth
        )

    def build(self, bounds: Bounds, generator: torch.Generator | None = None) -> HashGridField:
        """A field with fresh parameters."""
        return HashGridField(self, bounds, generator)


class HashGridField(nn.Module):
    """Density and colour of a hash grid; see :class:`HashGrid`."""

    def __init__(self, config: HashGrid, bounds: Bounds, generator: torch.Generator | None) -> None:
        super().__init__()
        self.config = config
        self.bounds = bounds
        self.layout = config.layout(bounds)
        table = torch.empty(self.layout.offsets[-1], config.features)
        self.table = nn.Parameter(table.uniform_(-1e-4, 1e-4, generator=generator))
        encoded = config.levels * config.features
        outputs = config.geometry_features
        directional = (config.harmonics_degree + 1) ** 2
        self.density_network = layers([encoded, *[config.width] * config.density_layers, outputs], generator)
        self.color_network = layers([outputs + directional, *[config.width] * config.color_layers, 3], generator)

    def density(self, samples: Samples) -> tuple[Float[Tensor, " S"], Float[Tensor, "S F"]]:
        """``initial_density * exp`` of the first output; every output is a feature for the colour."""
        encoded = hash_grid(self.bounds.normalize(samples.positions), self.table, self.layout)
        features = mlp(encoded, tuple(self.density_network))
        return truncated_exp(features[:, 0] + math.log(self.config.initial_density)), features

    def color(self, features: Float[Tensor, "S F"], samples: Samples) -> Float[Tensor, "S 3"]:
        """Sigmoid of the network over features and viewing direction."""
        direction = spherical_harmonics(samples.directions, self.config.harmonics_degree)
        return mlp(torch.cat([features, direction], -1), tuple(self.color_network)).sigmoid()

    @torch.no_grad()
    def trace(
        self,
        rays: Rays,
        near: Float[Tensor, " R"],
        far: Float[Tensor, " R"],
        occupancy: Bool[Tensor, "K G G G"],
        jitter: Float[Tensor, " R"],
        rule: tuple[float, float, float],
        max_samples: int,
    ) -> Traced | None:
        """See :class:`~scenekit.core.protocols.Tracer`; None without native code."""
        stretches = Stretches(rays.origins, rays.directions, near, far, jitter)
        return self._trace(stretches, occupancy, rule, max_samples, shaded=True)

    @torch.no_grad()
    def reach(
        self,
        rays: Rays,
        near: Float[Tensor, " R"],
        far: Float[Tensor, " R"],
        occupancy: Bool[Tensor, "K G G G"],
        jitter: Float[Tensor, " R"],
        rule: tuple[float, float, float],
        max_samples: int,
    ) -> Int[Tensor, " R"] | None:
        """See :class:`~scenekit.core.protocols.Tracer`; None without native code."""
        stretches = Stretches(rays.origins, rays.directions, near, far, jitter)
        traced = self._trace(stretches, occupancy, rule, max_samples, shaded=False)
        return None if traced is None else traced.samples

    def _trace(
        self, rays: Stretches, occupancy: Tensor, rule: tuple[float, float, float], max_samples: int, *, shaded: bool
    ) -> Traced | None:
        if not native.serves(rays.origins, self.table):
            return None
        networks = tuple(self.density_network), tuple(self.color_network)
        field = GridField(self.table, self.layout, *networks, math.log(self.config.initial_density), self.bounds)
        return trace_hash_grid(rays, occupancy, StepRule(*rule), max_samples, field, shaded=shaded)

    def parameter_groups(self) -> list[ParameterGroup]:
        """The table learns where it was touched; the networks have weight decay (instant-ngp)."""
        rate = exponential(self.config.learning_rate, self.config.learning_rate / 100, warm_up=0.01, hold=0.2)
        networks = {name: p for name, p in self.named_parameters() if name != "table"}
        return [
            ParameterGroup("table", {"table": self.table}, rate, betas=(0.9, 0.99), sparse=True),
            ParameterGroup("networks", networks, rate, betas=(0.9, 0.99), weight_decay=1e-6),
        ]


def layers(widths: list[int], generator: torch.Generator | None) -> nn.ParameterList:
    """Weights [out in] of a network without biases, Xavier-uniform."""
    weights = []
    for inputs, outputs in itertools.pairwise(widths):
        limit = math.sqrt(6 / (inputs + outputs))
        weights.append(nn.Parameter(torch.empty(outputs, inputs).uniform_(-limit, limit, generator=generator)))
    return nn.ParameterList(weights)
