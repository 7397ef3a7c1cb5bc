"""The two small networks that turn an encoding into density and colour, and how they start (instant-ngp)."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor, nn

from scenekit.core.protocols import ParameterGroup
from scenekit.core.schedules import exponential
from scenekit.kernels.mlp import mlp
from scenekit.kernels.radiance import radiance
from scenekit.kernels.spherical_harmonics import spherical_harmonics
from scenekit.kernels.truncated_exp import truncated_exp

OF_ENCODING = "of encoding"  # in an option's metadata: what is right for one kind of encoding says nothing of another


@dataclass(frozen=True)
class Networks:
    """Two networks without biases, ReLU between their layers.

    Attributes:
        width: of the hidden layers.
        density_layers: hidden layers of the density network.
        color_layers: hidden layers of the colour network.
        geometry_features: outputs of the density network; the first is the raw density, all enter the colour.
        harmonics_degree: spherical-harmonic degree of the viewing direction.
        initial_density: everywhere at the start, per scene unit; fog at the start hides what is behind it.
    """

    width: int = 64
    density_layers: int = field(default=1, metadata={OF_ENCODING: True})
    color_layers: int = 2
    geometry_features: int = 16
    harmonics_degree: int = 3
    initial_density: float = 0.1

    def build(self, encoded: int, generator: torch.Generator | None = None) -> RadianceNetworks:
        """Fresh networks for encodings of so many features."""
        return RadianceNetworks(self, encoded, generator)


class RadianceNetworks(nn.Module):
    """Density, then colour, of encoded points; fields that share the shapes share these blocks in a conversion."""

    def __init__(self, config: Networks, encoded: int, generator: torch.Generator | None) -> None:
        super().__init__()
        self.config = config
        outputs = config.geometry_features
        directional = (config.harmonics_degree + 1) ** 2
        self.density_weights = layers([encoded, *[config.width] * config.density_layers, outputs], generator)
        self.color_weights = layers([outputs + directional, *[config.width] * config.color_layers, 3], generator)

    @property
    def log_density(self) -> float:
        """What is added to the first output of the density network before the exponential."""
        return math.log(self.config.initial_density)

    def density(self, encoded: Float[Tensor, "S E"]) -> tuple[Float[Tensor, " S"], Float[Tensor, "S F"]]:
        """``initial_density * exp`` of the first output; every output is a feature for the colour."""
        features = mlp(encoded, tuple(self.density_weights))
        return truncated_exp(features[:, 0] + self.log_density), features

    def color(self, features: Float[Tensor, "S F"], directions: Float[Tensor, "S 3"]) -> Float[Tensor, "S 3"]:
        """Sigmoid of the network over features and viewing direction."""
        return seen_color(features, directions, self.color_weights, self.config.harmonics_degree)

    def radiance(
        self, encoded: Float[Tensor, "S E"], directions: Float[Tensor, "S 3"]
    ) -> tuple[Float[Tensor, " S"], Float[Tensor, "S 3"]]:
        """Densities and colours in one pass."""
        weights = tuple(self.density_weights), tuple(self.color_weights)
        return radiance(encoded, directions, *weights, self.config.harmonics_degree, self.log_density)

    def parameter_groups(self, learning_rate: float) -> list[ParameterGroup]:
        """Adam without weight decay, which weighs more the more pixels a loss is the mean of; ends at a hundredth."""
        rate = exponential(learning_rate, learning_rate / 100, warm_up=0.01, hold=0.5)
        weights = {f"networks.{name}": p for name, p in self.named_parameters()}
        return [ParameterGroup("networks", weights, rate, betas=(0.9, 0.99))]


@dataclass(frozen=True)
class ColorNetwork:
    """The colour network alone, for fields that know their density without one; shapes as in :class:`Networks`.

    Attributes:
        width: of the hidden layers.
        color_layers: hidden layers.
        geometry_features: inputs beside the viewing direction; the first is the raw density.
        harmonics_degree: spherical-harmonic degree of the viewing direction.
    """

    width: int = 64
    color_layers: int = 2
    geometry_features: int = 16
    harmonics_degree: int = 3

    def build(self, generator: torch.Generator | None = None) -> ColorLayers:
        """A fresh network."""
        return ColorLayers(self, generator)


class ColorLayers(nn.Module):
    """Colour of features and viewing direction; the block has the name it has in :class:`RadianceNetworks`."""

    def __init__(self, config: ColorNetwork, generator: torch.Generator | None) -> None:
        super().__init__()
        self.config = config
        inputs = config.geometry_features + (config.harmonics_degree + 1) ** 2
        self.color_weights = layers([inputs, *[config.width] * config.color_layers, 3], generator)

    def color(self, features: Float[Tensor, "S F"], directions: Float[Tensor, "S 3"]) -> Float[Tensor, "S 3"]:
        """See :func:`seen_color`."""
        return seen_color(features, directions, self.color_weights, self.config.harmonics_degree)


def seen_color(
    features: Float[Tensor, "S F"], directions: Float[Tensor, "S 3"], weights: Iterable[Tensor], degree: int
) -> Float[Tensor, "S 3"]:
    """Sigmoid of the network over features and the harmonics of the viewing direction."""
    harmonics = spherical_harmonics(directions, degree)
    return mlp(torch.cat([features, harmonics], -1), tuple(weights)).sigmoid()


def layers(widths: list[int], generator: torch.Generator | None) -> nn.ParameterList:
    """Weights [out in] of a network without biases, Xavier-uniform."""
    weights = []
    for inputs, outputs in itertools.pairwise(widths):
        limit = math.sqrt(6 / (inputs + outputs))
        weights.append(nn.Parameter(torch.empty(outputs, inputs).uniform_(-limit, limit, generator=generator)))
    return nn.ParameterList(weights)
