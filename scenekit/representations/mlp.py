"""One network that is the whole scene: ReLU over frequencies (NeRF) or sines all through (SIREN)."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from scenekit.core.bounds import Bounds
from scenekit.core.protocols import ParameterGroup
from scenekit.core.schedules import exponential
from scenekit.representations.networks import Networks
from scenekit.representations.radiance import RadianceField

HIDDEN_OMEGA = 30.0  # of SIREN's layers after the first
FIRST_OMEGA = 30.0 / 512  # of the first, for each cell that shall be told apart: SIREN has 30 for 512 pixels


@dataclass(frozen=True)
class Mlp:
    """A network over positions, whose outputs are features for the networks that all encodings share.

    Attributes:
        activation: ``relu`` over sines and cosines of the position (NeRF), or ``siren``.
        finest: half waves of the highest frequency over the inner cube of the scene; 1024 makes NeRF's ten.
        width: of every layer.
        layers: before the one that makes the features.
        skip: layer that is given the frequencies once more; 0 for none. SIREN has none.
        features: that come out.
        networks: what makes density and colour of the features.
        learning_rate: at the start; it ends at a hundredth.
    """

    renderer: ClassVar[str] = "volume"

    activation: Literal["relu", "siren"] = "relu"
    finest: int = 1024
    width: int = 256
    layers: int = 8
    skip: int = 4
    features: int = 28
    networks: Networks = field(default_factory=Networks)
    learning_rate: float = 1e-3

    def encoding(self, dimensions: int, finest: float, generator: torch.Generator | None = None) -> MlpEncoding:
        """Features of any signal's points; ``finest`` is in cells a side of the unit cube."""
        return MlpEncoding(self, dimensions, finest, generator)

    def build(self, bounds: Bounds, generator: torch.Generator | None = None) -> RadianceField:
        """A field with fresh parameters."""
        encoding = self.encoding(3, self.finest * bounds.field_extent, generator)
        networks = self.networks.build(encoding.features, generator)
        return RadianceField(encoding, networks, bounds, self.learning_rate)


class MlpEncoding(nn.Module):
    """A network as an encoding; see :class:`Mlp`."""

    def __init__(self, config: Mlp, dimensions: int, finest: float, generator: torch.Generator | None) -> None:
        super().__init__()
        self.config = config
        self.dimensions = dimensions
        self.features = config.features
        self.frequencies = max(1, round(math.log2(max(2.0, finest)))) if config.activation == "relu" else 0
        self.omega = FIRST_OMEGA * finest
        inputs = dimensions * (1 + 2 * self.frequencies)
        self.skip = config.skip if config.activation == "relu" and 0 < config.skip < config.layers else 0
        widths = [inputs, *[config.width] * config.layers, config.features]
        again = [inputs if self.skip and layer == self.skip else 0 for layer in range(len(widths))]
        self.layers = nn.ModuleList(
            _linear(width + more, out, _limit(config, layer, width + more), generator)
            for layer, ((width, out), more) in enumerate(zip(itertools.pairwise(widths), again, strict=False))
        )

    def forward(self, positions: Float[Tensor, "S D"]) -> Float[Tensor, "S F"]:
        """The last layer's outputs, without an activation."""
        centred = 2 * positions - 1
        return self._relu(centred) if self.config.activation == "relu" else self._siren(centred)

    def _relu(self, centred: Tensor) -> Tensor:
        encoded = frequencies(centred, self.frequencies)
        *hidden, last = self.layers
        x = encoded
        for index, layer in enumerate(hidden):
            x = torch.relu(layer(torch.cat([x, encoded], -1) if self.skip and index == self.skip else x))
        return last(x)

    def _siren(self, centred: Tensor) -> Tensor:
        first, *hidden, last = self.layers
        x = torch.sin(self.omega * first(centred))
        for layer in hidden:
            x = torch.sin(HIDDEN_OMEGA * layer(x))
        return last(x)

    def parameter_groups(self) -> list[ParameterGroup]:
        """All layers alike."""
        rate = exponential(self.config.learning_rate, self.config.learning_rate / 100, warm_up=0.02)
        weights = {f"encoding.{name}": p for name, p in self.named_parameters()}
        return [ParameterGroup("encoding", weights, rate, betas=(0.9, 0.99))]


def frequencies(positions: Float[Tensor, "S D"], count: int) -> Float[Tensor, "S E"]:
    """``[x, sin(2^k pi x), cos(2^k pi x)]`` for k < count (NeRF, eq. 4)."""
    factors = math.pi * 2.0 ** torch.arange(count, dtype=positions.dtype, device=positions.device)
    angles = (positions[:, None, :] * factors[:, None]).flatten(1)
    return torch.cat([positions, angles.sin(), angles.cos()], -1)


def _limit(config: Mlp, layer: int, inputs: int) -> float:
    """Half the width of the uniform start: He's for ReLU, SIREN's own for sines."""
    if config.activation == "relu":
        return math.sqrt(6 / inputs)
    return 1 / inputs if layer == 0 else math.sqrt(6 / inputs) / HIDDEN_OMEGA


def _linear(inputs: int, outputs: int, limit: float, generator: torch.Generator | None) -> nn.Linear:
    layer = nn.Linear(inputs, outputs, device="meta").to_empty(device="cpu")  # torch's own start draws elsewhere
    with torch.no_grad():
        layer.weight.uniform_(-limit, limit, generator=generator)
        layer.bias.uniform_(-1 / math.sqrt(inputs), 1 / math.sqrt(inputs), generator=generator)
    return layer
