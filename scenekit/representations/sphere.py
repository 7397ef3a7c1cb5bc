"""Fields of directions: spherical harmonics into a sinusoidal network (Russwurm et al., ICLR 2024).

Harmonics know neither a pole nor a seam; the network on them (SIREN, Sitzmann et al. 2020) adds what their degree
cannot resolve. It is the background of a scene, and what fits a panorama.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from scenekit.core.checks import BadInput
from scenekit.core.protocols import ParameterGroup
from scenekit.core.schedules import exponential
from scenekit.kernels.spherical_harmonics import harmonics_by_recurrence

FIRST_FREQUENCY = 30.0  # of the first layer's sines; those of later layers have 1


@dataclass(frozen=True)
class Sphere:
    """Harmonics up to ``degree``, then sine layers.

    Attributes:
        degree: of the harmonics; they resolve about 180 / degree degrees.
        width: of the sine layers.
        layers: sine layers.
        learning_rate: at the start; it ends at a hundredth.
    """

    degree: int = 32
    width: int = 128
    layers: int = 2
    learning_rate: float = 3e-3

    def encoding(self, dimensions: int, finest: float, generator: torch.Generator | None = None) -> SphereEncoding:
        """Features of directions; raises BadInput for points of another dimension.

        ``finest`` does not matter: the degree says how fine it is.
        """
        if dimensions != 3:
            raise BadInput.of("--representation sphere", wanted="a panorama", found=f"a signal in {dimensions}-D",
                              remedy="choose another representation")  # fmt: skip
        return SphereEncoding(self, generator)

    def build(self, generator: torch.Generator | None = None) -> SphereColors:
        """Colours in [0, 1] of directions."""
        return SphereColors(self, generator)


class SphereEncoding(nn.Module):
    """Harmonics and sine layers; see :class:`Sphere`."""

    dimensions = 3

    def __init__(self, config: Sphere, generator: torch.Generator | None) -> None:
        super().__init__()
        self.config = config
        self.features = config.width if config.layers else (config.degree + 1) ** 2
        inputs = [(config.degree + 1) ** 2, *[config.width] * (config.layers - 1)]
        limits = [1 / inputs[0], *(math.sqrt(6 / width) for width in inputs[1:])]
        shapes = [(config.width, width) for width in inputs[: config.layers]]
        self.weights = nn.ParameterList(
            nn.Parameter(torch.empty(shape).uniform_(-limit, limit, generator=generator))
            for shape, limit in zip(shapes, limits, strict=False)
        )
        self.biases = nn.ParameterList(
            nn.Parameter(torch.empty(shape[0]).uniform_(-limit, limit, generator=generator))
            for shape, limit in zip(shapes, limits, strict=False)
        )

    def forward(self, positions: Float[Tensor, "S 3"]) -> Float[Tensor, "S F"]:
        """Features of the directions from the centre of the unit cube to ``positions``."""
        directions = nn.functional.normalize(positions - 0.5, dim=-1)
        features = harmonics_by_recurrence(directions, self.config.degree)
        for index, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            frequency = FIRST_FREQUENCY if index == 0 else 1.0
            features = torch.sin(frequency * nn.functional.linear(features, weight, bias))
        return features

    def parameter_groups(self) -> list[ParameterGroup]:
        """The sine layers."""
        rate = exponential(self.config.learning_rate, self.config.learning_rate / 100, warm_up=0.01, hold=0.2)
        parameters = {f"encoding.{name}": parameter for name, parameter in self.named_parameters()}
        return [ParameterGroup("encoding", parameters, rate, betas=(0.9, 0.99))] if parameters else []


class SphereColors(nn.Module):
    """A :class:`SphereEncoding` and a last linear layer: what is seen in every direction."""

    def __init__(self, config: Sphere, generator: torch.Generator | None) -> None:
        super().__init__()
        self.learning_rate = config.learning_rate
        self.encoding = SphereEncoding(config, generator)
        limit = math.sqrt(6 / self.encoding.features)
        self.last = nn.Parameter(torch.empty(3, self.encoding.features).uniform_(-limit, limit, generator=generator))

    def forward(self, directions: Float[Tensor, "S 3"]) -> Float[Tensor, "S 3"]:
        """Colours in [0, 1]."""
        return nn.functional.linear(self.encoding(directions / 2 + 0.5), self.last).sigmoid()

    def parameter_groups(self) -> list[ParameterGroup]:
        """All of it learns alike."""
        rate = exponential(self.learning_rate, self.learning_rate / 100, warm_up=0.01, hold=0.2)
        parameters = {f"sphere.{name}": parameter for name, parameter in self.named_parameters()}
        return [ParameterGroup("sphere", parameters, rate, betas=(0.9, 0.99))]
