"""Density and colour features as sums of products of planes and lines, or of lines alone (TensoRF)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from scenekit.core.bounds import Bounds
from scenekit.core.protocols import Change, Context, Controller, ParameterGroup
from scenekit.core.rays import Samples
from scenekit.core.schedules import exponential
from scenekit.kernels.truncated_exp import truncated_exp
from scenekit.representations.box import Box
from scenekit.representations.factors import Decomposition, Factors
from scenekit.representations.growth import Growth, check_points
from scenekit.representations.networks import ColorNetwork
from scenekit.representations.planes import cells_between


@dataclass(frozen=True)
class LowRank:
    """TensoRF.

    Attributes:
        decomposition: ``vm`` multiplies planes by lines; ``cp`` lines by lines, tiny and less sharp.
        density_rank: components of the density a product has.
        color_rank: components of the colour features a product has.
        coarsest: cells a side at the start, over the whole field.
        finest: cells a side at the end, over the inner cube of the scene.
        grow_at: progress at which the factors become finer, in equal ratios.
        shrink: whether with the last growth the box tightens about what is dense; the cells become smaller.
        initial_density: everywhere at the start and where nothing is learnt, per scene unit. In a fog of 0.01 products
            of factors have hardly a gradient: some trainings on lego never left it (9.6 dB; from 0.1 34.1 dB).
        sparsity: weight of the mean absolute density factors.
        smoothness: weight of the total variation of all factors.
        network: what makes colours of the features.
        learning_rate: of the factors at the start; it ends at a tenth. The network learns at a tenth of it.
    """

    renderer: ClassVar[str] = "volume"

    decomposition: Decomposition = "vm"
    density_rank: int = 16
    color_rank: int = 48
    coarsest: int = 64
    finest: int = 300
    grow_at: tuple[float, ...] = (0.07, 0.1, 0.13, 0.18, 0.23)
    shrink: bool = True
    initial_density: float = 0.1
    sparsity: float = 8e-5
    smoothness: float = 0.0
    network: ColorNetwork = field(default_factory=ColorNetwork)
    learning_rate: float = 2e-2

    def __post_init__(self) -> None:
        check_points("grow_at", self.grow_at)

    def encoding(self, dimensions: int, finest: float, generator: torch.Generator | None = None) -> LowRankEncoding:
        """Features of any signal's points, at ``finest`` cells a side of the unit cube from the start."""
        return LowRankEncoding(self, dimensions, round(finest), generator)

    def build(self, bounds: Bounds, generator: torch.Generator | None = None) -> LowRankField:
        """A field with fresh, coarse parameters."""
        return LowRankField(self, bounds, generator)


class LowRankEncoding(nn.Module):
    """The colour features: factors, mixed by a basis matrix; see :class:`LowRank`."""

    def __init__(self, config: LowRank, dimensions: int, cells: int, generator: torch.Generator | None) -> None:
        super().__init__()
        self.config = config
        self.dimensions = dimensions
        self.features = config.network.geometry_features - 1
        self.factors = Factors(config.decomposition, dimensions, config.color_rank, cells, generator)
        limit = 1 / math.sqrt(self.factors.components)
        basis = torch.empty(self.features, self.factors.components)
        self.basis = nn.Parameter(basis.uniform_(-limit, limit, generator=generator))

    def forward(self, positions: Float[Tensor, "S D"]) -> Float[Tensor, "S F"]:
        """``basis @ components``."""
        return self.factors(positions) @ self.basis.T

    def parameter_groups(self) -> list[ParameterGroup]:
        """Factors, and the basis at a tenth of their rate."""
        rate = self.config.learning_rate
        factors = {f"encoding.factors.{name}": p for name, p in self.factors.named_parameters()}
        return [_group("encoding.factors", factors, rate), _group("basis", {"encoding.basis": self.basis}, rate / 10)]


class LowRankField(nn.Module):
    """Density and colour by factors within a box; see :class:`LowRank`."""

    def __init__(self, config: LowRank, bounds: Bounds, generator: torch.Generator | None) -> None:
        super().__init__()
        self.config = config
        self.bounds = bounds
        self.cells = cells_between(float(config.coarsest), config.finest * bounds.field_extent, len(config.grow_at))
        self.box = Box()
        self.density_factors = Factors(config.decomposition, 3, config.density_rank, self.cells[0], generator)
        self.encoding = LowRankEncoding(config, 3, self.cells[0], generator)
        self.networks = config.network.build(generator)

    def density(self, samples: Samples) -> tuple[Float[Tensor, " S"], Float[Tensor, "S F"]]:
        """``initial_density * exp`` of the sum of components; nothing outside of the box.

        The feature is the sum itself. Colours look up their own factors, and only where they are asked for.
        """
        places, inside = self.box.places(self.bounds.normalize(samples.positions))
        raw = self.density_factors(places).sum(-1)
        return truncated_exp(raw + math.log(self.config.initial_density)) * inside, raw[:, None]

    def color(self, features: Float[Tensor, "S F"], samples: Samples) -> Float[Tensor, "S 3"]:
        """The network over the raw density, the colour features and the viewing direction."""
        places, _ = self.box.places(self.bounds.normalize(samples.positions))
        return self.networks.color(torch.cat([features, self.encoding(places)], -1), samples.directions)

    def terms(self, context: Context) -> Mapping[str, Float[Tensor, ""]]:
        """See :class:`~scenekit.core.protocols.Regularized`."""
        terms: dict[str, Tensor] = {}
        if self.config.sparsity > 0:
            terms["sparsity"] = self.config.sparsity * self.density_factors.size()
        if self.config.smoothness > 0:
            rough = self.density_factors.roughness() + self.encoding.factors.roughness()
            terms["smoothness"] = self.config.smoothness * rough
        return terms

    def controllers(self) -> list[Controller]:
        """See :class:`~scenekit.core.protocols.Scheduled`."""
        return [Growth(self.config.grow_at, self._grow)]

    @torch.no_grad()
    def _grow(self, stage: int) -> Change:
        low, high = torch.zeros(3), torch.ones(3)
        if self.config.shrink and stage == len(self.config.grow_at):
            low, high = self.box.tighten(self._raw_density, self.config.initial_density, self.bounds)
        parts = {"density_factors": self.density_factors, "encoding.factors": self.encoding.factors}
        values = {
            f"{part}.{name}": value
            for part, factors in parts.items()
            for name, value in factors.resized(self.cells[stage], low, high).items()
        }
        return Change.replacing(values)

    def _raw_density(self, places: Float[Tensor, "S 3"]) -> Float[Tensor, " S"]:
        return truncated_exp(self.density_factors(places).sum(-1) + math.log(self.config.initial_density))

    def most_parameters(self) -> int:
        """See :class:`~scenekit.core.capabilities.Growing`."""
        matrices = self.encoding.basis.numel() + sum(p.numel() for p in self.networks.parameters())
        return matrices + sum(part.numbers(self.cells[-1]) for part in (self.density_factors, self.encoding.factors))

    def parameter_groups(self) -> list[ParameterGroup]:
        """Factors at the rate, matrices at a tenth."""
        rate = self.config.learning_rate
        factors = {f"density_factors.{name}": p for name, p in self.density_factors.named_parameters()}
        weights = {f"networks.{name}": p for name, p in self.networks.named_parameters()}
        return [
            _group("density_factors", factors, rate),
            *self.encoding.parameter_groups(),
            _group("networks", weights, rate / 10),
        ]


def _group(name: str, parameters: Mapping[str, nn.Parameter], rate: float) -> ParameterGroup:
    return ParameterGroup(name, parameters, exponential(rate, rate / 10, warm_up=0.01), betas=(0.9, 0.99))
