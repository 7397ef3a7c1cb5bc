"""Fields of other signals than scenes: an encoding and one network, from points to values."""

from __future__ import annotations

from contextlib import nullcontext

import torch
from jaxtyping import Float
from torch import Tensor, nn

from scenekit.core.bounds import Bounds
from scenekit.core.point_fields import PointField
from scenekit.core.precision import exact_products
from scenekit.core.protocols import Encoding, ParameterGroup
from scenekit.core.rays import Samples
from scenekit.core.schedules import exponential
from scenekit.kernels.mlp import mlp
from scenekit.representations.networks import layers


class SignalField(nn.Module):
    """Values of points in the unit cube; see :class:`~scenekit.core.protocols.PointField`.

    The network has ``hidden`` layers of ``width``, no biases and ReLU between its layers; with none it is a matrix.
    ``exact`` values are never rounded to half precision, which has 1/2000 for values about 1.
    """

    def __init__(
        self,
        encoding: Encoding,
        channels: int,
        *,
        hidden: int,
        width: int,
        learning_rate: float,
        exact: bool = False,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.encoding = encoding
        self.exact = exact
        self.dimensions = encoding.dimensions
        self.channels = channels
        self.learning_rate = learning_rate
        self.weights = layers([encoding.features, *[width] * hidden, channels], generator)

    def forward(self, positions: Float[Tensor, "S D"]) -> Float[Tensor, "S C"]:
        """The network over the encoded positions; nothing is clamped."""
        with exact_products(positions.device) if self.exact else nullcontext():
            return mlp(self.encoding(positions), tuple(self.weights))

    def parameter_groups(self) -> list[ParameterGroup]:
        """The encoding's and the network's."""
        rate = exponential(self.learning_rate, self.learning_rate / 100, warm_up=0.01, hold=0.2)
        weights = {f"weights.{name}": parameter for name, parameter in self.weights.named_parameters()}
        return [
            *self.encoding.parameter_groups(),
            ParameterGroup("network", weights, rate, betas=(0.9, 0.99), weight_decay=1e-6),
        ]


class VolumeField(nn.Module):
    """A field of densities and colours as a volume renderer takes it; see :class:`~scenekit.core.protocols.Field`.

    ``values`` gives density / ``scale`` and a colour; its cube is stretched to the box whose sides are as ``size``,
    the longest of them that of the cube [-1, 1]^3. Around the box there is nothing.
    """

    def __init__(self, values: PointField, size: tuple[int, ...], scale: float) -> None:
        super().__init__()
        self.values = values
        self.bounds = Bounds()
        self.scale = scale
        self.register_buffer("box", torch.tensor(size, dtype=torch.float32) / max(size), persistent=False)

    box: Float[Tensor, "3"]

    def density(self, samples: Samples) -> tuple[Float[Tensor, " S"], Float[Tensor, "S F"]]:
        """Per unit of ``scene``, of which the longest side has two."""
        inside = samples.positions / self.box
        values = self.values((inside / 2 + 0.5).clamp(0, 1))
        density = values[:, 0].clamp(min=0) * (self.scale / 2)
        return torch.where((inside.abs() <= 1).all(-1), density, 0.0), values[:, 1:]

    def color(self, features: Float[Tensor, "S F"], samples: Samples) -> Float[Tensor, "S 3"]:
        """From every side the same."""
        return features.clamp(0, 1)

    def parameter_groups(self) -> list[ParameterGroup]:
        """Those of the values."""
        return self.values.parameter_groups()
