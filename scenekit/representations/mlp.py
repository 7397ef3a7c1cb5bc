"""One network that is the whole scene: ReLU over frequencies (NeRF) or sines all through (SIREN)."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from scenekit.core.bounds import Bounds
from scenekit.core.protocols import ParameterGroup
from scenekit.core.schedules import exponential
from scenekit.kernels.mlp import mlp
from scenekit.representations.networks import Networks
from scenekit.representations.radiance import RadianceField
from scenekit.representations.sines import SineNetwork

MOMENTUM = (0.9, 0.0)  # of Muon, which has one moment; 0.95 was 0.9 dB worse in conversions, lego 100x100 on a CPU


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
        learning_rate: of the networks, and of sines, until half of the training; it ends at a hundredth.
        spectral_rate: the same of ReLU layers, whose matrices learn by Muon: how far a step moves each.
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
    spectral_rate: float = 0.02

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
        if config.activation == "relu":
            self.network = FrequencyNetwork(config, dimensions, finest, config.features, generator)
        else:
            self.network = SineNetwork(dimensions, finest, config.width, config.layers, config.features, generator)

    def forward(self, positions: Float[Tensor, "S D"]) -> Float[Tensor, "S F"]:
        """The last layer's outputs, without an activation."""
        return self.network(2 * positions - 1)

    def parameter_groups(self) -> list[ParameterGroup]:
        """All layers alike; sines start with weights so small that a step of Muon would be most of them."""
        orthogonal = self.config.activation == "relu"
        first, betas = (self.config.spectral_rate, MOMENTUM) if orthogonal else (self.config.learning_rate, (0.9, 0.99))
        rate = exponential(first, first / 100, warm_up=0.02, hold=0.5)
        weights = {f"encoding.{name}": p for name, p in self.named_parameters()}
        return [ParameterGroup("encoding", weights, rate, betas=betas, orthogonal=orthogonal)]


class FrequencyNetwork(nn.Module):
    """ReLU layers over sines and cosines (NeRF).

    Biases are the weights of the constants among the frequencies, so that all of it is what the fused network takes.
    """

    def __init__(
        self, config: Mlp, inputs: int, finest: float, outputs: int, generator: torch.Generator | None
    ) -> None:
        super().__init__()
        self.frequencies = max(1, round(math.log2(max(2.0, finest))))
        self.skip = config.skip if 0 < config.skip < config.layers else 0
        encoded = inputs * (1 + 2 * self.frequencies)
        widths = [encoded, *[config.width] * config.layers]
        widths[self.skip] += encoded if self.skip else 0
        outs = [*[config.width] * config.layers, outputs]
        waves, phases = octaves(self.frequencies)
        self.waves: Tensor
        self.phases: Tensor
        self.register_buffer("waves", waves, persistent=False)
        self.register_buffer("phases", phases, persistent=False)
        self.weights = nn.ParameterList(
            nn.Parameter(torch.empty(out, width).uniform_(-1, 1, generator=generator) * math.sqrt(6 / width))  # He's
            for width, out in zip(widths, outs, strict=True)
        )

    @property
    def parts(self) -> list[tuple[Tensor, ...]]:
        """Weights of the networks that run one after another: up to the skip, and from it on; of one without it."""
        weights = tuple(self.weights)
        return [weights[: self.skip], weights[self.skip :]] if self.skip else [weights]

    def forward(self, centred: Float[Tensor, "S D"]) -> Float[Tensor, "S F"]:
        """Of points in [-1, 1]."""
        encoded = frequencies(centred, self.waves, self.phases)
        *before, last = self.parts
        for weights in before:
            encoded = torch.cat([torch.relu(mlp(encoded, weights)), encoded], -1)
        return mlp(encoded, last)


def octaves(count: int) -> tuple[Float[Tensor, " W"], Float[Tensor, " W"]]:
    """Waves and phases of a constant, of ``sin(2^k pi x)`` and of ``cos(2^k pi x)``, k < count (NeRF, eq. 4)."""
    waves = [math.pi * 2.0**k for k in range(count)]
    sine, cosine = 0.0, math.pi / 2
    return torch.tensor([0.0, *waves, *waves]), torch.tensor([cosine, *[sine] * count, *[cosine] * count])


def frequencies(
    positions: Float[Tensor, "S D"], waves: Float[Tensor, " W"], phases: Float[Tensor, " W"]
) -> Float[Tensor, "S E"]:
    """``sin(w x + p)`` of every wave and its phase, for each coordinate: in two passes over what comes out."""
    return torch.addcmul(phases[:, None], positions[:, None, :], waves[:, None]).sin().flatten(1)
