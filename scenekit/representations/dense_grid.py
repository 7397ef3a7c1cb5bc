"""A dense voxel grid of densities and spherical harmonics, no network (Plenoxels), that grows in training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from scenekit.core.bounds import Bounds
from scenekit.core.checks import BadInput
from scenekit.core.protocols import Change, Controller, ParameterGroup
from scenekit.core.rays import Samples
from scenekit.core.schedules import exponential
from scenekit.kernels.spherical_harmonics import C0, harmonic_colors
from scenekit.representations.box import Box
from scenekit.representations.growth import Growth, check_points
from scenekit.representations.planes import cells_between, lookup, resampled, rows_of, take_other_sizes
from scenekit.representations.smoothing import Smoothing


@dataclass(frozen=True)
class DenseGrid:
    """Dense grid with trilinear interpolation of a density and of harmonic colours.

    Attributes:
        coarsest: cells a side at the start, over the whole field.
        resolution: cells a side at the end, over the box that is left; memory grows with its cube.
        grow_at: progress at which the grid becomes finer, in equal ratios.
        shrink: whether with the last growth the box tightens about what is dense; the cells become smaller.
        harmonics_degree: of the colour; 0 to 3.
        initial_density: everywhere at the start, per scene unit.
        density_smoothness, color_smoothness: how strongly neighbours are drawn together, at most 1/6; 0 for not at all.
        density_learning_rate: of the raw density, per scene unit; it ends at a tenth. The faster, the harder surfaces
            become: many views of an object bear 20, few of a whole room do not.
        learning_rate: of the colours; it ends at a tenth.
    """

    renderer: ClassVar[str] = "volume"

    coarsest: int = 64
    resolution: int = 128
    grow_at: tuple[float, ...] = (0.1, 0.25)
    shrink: bool = True
    harmonics_degree: int = 2
    initial_density: float = 0.1
    density_smoothness: float = 0.02
    color_smoothness: float = 0.02
    density_learning_rate: float = 0.5
    learning_rate: float = 0.05

    def __post_init__(self) -> None:
        check_points("grow_at", self.grow_at)
        if not 0 <= max(self.density_smoothness, self.color_smoothness) <= 1 / 6:
            found = f"{self.density_smoothness} and {self.color_smoothness}"
            raise BadInput.of("smoothness", wanted="a share up to 1/6", found=found, remedy="choose less")

    def build(self, bounds: Bounds, generator: torch.Generator | None = None) -> DenseGridField:
        """A grey fog of ``initial_density``."""
        return DenseGridField(self, bounds)


class DenseGridField(nn.Module):
    """Density and colour of a dense grid within a box; see :class:`DenseGrid`."""

    def __init__(self, config: DenseGrid, bounds: Bounds) -> None:
        super().__init__()
        self.config = config
        self.bounds = bounds
        self.cells = cells_between(float(config.coarsest), float(config.resolution), len(config.grow_at))
        self.box = Box()
        rows = rows_of(3, self.cells[0])
        fog = _inverse_softplus(config.initial_density)
        self.densities = nn.Parameter(torch.full((rows, 1), fog))
        self.colors = nn.Parameter(torch.zeros(rows, 3 * (config.harmonics_degree + 1) ** 2))
        take_other_sizes(self, {"densities": 3, "colors": 3})

    def density(self, samples: Samples) -> tuple[Float[Tensor, " S"], Float[Tensor, "S F"]]:
        """Softplus of the interpolated density, nothing outside of the box; the feature is what is interpolated.

        Colours are looked up only where they are asked for.
        """
        places, inside = self.box.places(self.bounds.normalize(samples.positions))
        raw = lookup(places, self.densities)
        return self._activated(raw) * inside, raw

    def color(self, features: Float[Tensor, "S F"], samples: Samples) -> Float[Tensor, "S 3"]:
        """``sigmoid(sum_k c_k Y_k(direction))``; coefficients are stored in units of the constant term."""
        places, _ = self.box.places(self.bounds.normalize(samples.positions))
        coefficients = lookup(places, self.colors).unflatten(-1, (-1, 3))
        return (harmonic_colors(coefficients, samples.directions, self.config.harmonics_degree) / C0).sigmoid()

    def _activated(self, raw: Float[Tensor, "S 1"]) -> Float[Tensor, " S"]:
        return nn.functional.softplus(raw[:, 0])

    def controllers(self) -> list[Controller]:
        """See :class:`~scenekit.core.protocols.Scheduled`."""
        weights = {"densities": self.config.density_smoothness, "colors": self.config.color_smoothness}
        smoothed = [(self.get_parameter(name), weight) for name, weight in weights.items() if weight > 0]
        return [Smoothing(smoothed), Growth(self.config.grow_at, self._grow)]

    @torch.no_grad()
    def _grow(self, stage: int) -> Change:
        low, high = torch.zeros(3), torch.ones(3)
        if self.config.shrink and stage == len(self.config.grow_at):
            fog = self.config.initial_density
            low, high = self.box.tighten(lambda at: self._activated(lookup(at, self.densities)), fog, self.bounds)
        tables = {"densities": self.densities, "colors": self.colors}
        cells = self.cells[stage]
        return Change.replacing({name: resampled(table, cells, low, high) for name, table in tables.items()})

    def most_parameters(self) -> int:
        """See :class:`~scenekit.core.capabilities.Growing`."""
        return rows_of(3, self.cells[-1]) * (self.densities.shape[1] + self.colors.shape[1])

    def parameter_groups(self) -> list[ParameterGroup]:
        """Cells that nothing touched keep their moments."""
        rates = {"densities": self.config.density_learning_rate, "colors": self.config.learning_rate}
        return [
            ParameterGroup(
                name,
                {name: self.get_parameter(name)},
                exponential(rate, rate / 10, warm_up=0.01),
                betas=(0.9, 0.99),
                sparse=True,
            )
            for name, rate in rates.items()
        ]


def _inverse_softplus(value: float) -> float:
    return float(torch.tensor(value, dtype=torch.float64).expm1().log())
