"""A dense voxel grid of densities and spherical harmonics, no network (Plenoxels without the sparsity)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from scenekit.core.bounds import Bounds
from scenekit.core.protocols import ParameterGroup
from scenekit.core.rays import Samples
from scenekit.core.schedules import exponential
from scenekit.kernels.grid_layout import GridLayout
from scenekit.kernels.hash_grid import hash_grid
from scenekit.kernels.spherical_harmonics import C0, harmonic_colors


@dataclass(frozen=True)
class DenseGrid:
    """Dense grid with trilinear interpolation of a density and of harmonic colours.

    Attributes:
        resolution: vertices a side over the whole field.
        harmonics_degree: of the colour; 0 to 3.
        initial_density: everywhere at the start, per scene unit.
        learning_rate: at the start; it ends at a tenth.
    """

    renderer: ClassVar[str] = "volume"

    resolution: int = 128
    harmonics_degree: int = 2
    initial_density: float = 0.1
    learning_rate: float = 0.05

    def build(self, bounds: Bounds, generator: torch.Generator | None = None) -> DenseGridField:
        """A grey fog of ``initial_density``."""
        return DenseGridField(self, bounds)


class DenseGridField(nn.Module):
    """Density and colour of a dense grid; see :class:`DenseGrid`."""

    # Raw densities are learnt in these units, so that one rate suits densities and colours alike.
    DENSITY_SCALE = 10.0

    def __init__(self, config: DenseGrid, bounds: Bounds) -> None:
        super().__init__()
        self.config = config
        self.bounds = bounds
        entries = (config.resolution**3 + 7) // 8 * 8
        self.layout = GridLayout(3, (float(config.resolution - 1),), (config.resolution,), (0, entries))
        coefficients = (config.harmonics_degree + 1) ** 2
        values = torch.zeros(entries, 1 + 3 * coefficients)
        values[:, 0] = _inverse_softplus(config.initial_density) / self.DENSITY_SCALE
        self.values = nn.Parameter(values)

    def density(self, samples: Samples) -> tuple[Float[Tensor, " S"], Float[Tensor, "S F"]]:
        """Softplus of the interpolated density; the harmonic coefficients are the features."""
        values = hash_grid(self.bounds.normalize(samples.positions), self.values, self.layout)
        return nn.functional.softplus(values[:, 0] * self.DENSITY_SCALE), values[:, 1:]

    def color(self, features: Float[Tensor, "S F"], samples: Samples) -> Float[Tensor, "S 3"]:
        """``sigmoid(sum_k c_k Y_k(direction))``; coefficients are stored in units of the constant term."""
        coefficients = features.reshape(features.shape[0], -1, 3) / C0
        return harmonic_colors(coefficients, samples.directions, self.config.harmonics_degree).sigmoid()

    def parameter_groups(self) -> list[ParameterGroup]:
        """Cells that no ray touched keep their moments."""
        rate = exponential(self.config.learning_rate, self.config.learning_rate / 10, warm_up=0.01)
        return [ParameterGroup("values", {"values": self.values}, rate, betas=(0.9, 0.99), sparse=True)]


def _inverse_softplus(value: float) -> float:
    return float(torch.tensor(value, dtype=torch.float64).expm1().log())
