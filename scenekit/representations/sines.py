"""A network of sines all through (SIREN, Sitzmann et al., NeurIPS 2020) as an encoding of points."""

from __future__ import annotations

import itertools
import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

HIDDEN_OMEGA = 30.0  # of the layers after the first
FIRST_OMEGA = 30.0 / 512  # of the first, for each cell that shall be told apart: SIREN has 30 for 512 pixels


class SineNetwork(nn.Module):
    """``layers`` of sines of one width, then a linear one; ``finest`` is in cells a side of the unit cube."""

    def __init__(
        self, inputs: int, finest: float, width: int, layers: int, outputs: int, generator: torch.Generator | None
    ) -> None:
        super().__init__()
        self.omega = FIRST_OMEGA * finest
        widths = [inputs, *[width] * layers, outputs]
        self.layers = nn.ModuleList(
            _linear(width, out, 1 / width if layer == 0 else math.sqrt(6 / width) / HIDDEN_OMEGA, generator)
            for layer, (width, out) in enumerate(itertools.pairwise(widths))
        )

    def forward(self, centred: Float[Tensor, "S D"]) -> Float[Tensor, "S F"]:
        """Of points in [-1, 1]."""
        first, *hidden, last = self.layers
        x = torch.sin(self.omega * first(centred))
        for layer in hidden:
            x = torch.sin(HIDDEN_OMEGA * layer(x))
        return last(x)


def _linear(inputs: int, outputs: int, limit: float, generator: torch.Generator | None) -> nn.Linear:
    layer = nn.Linear(inputs, outputs, device="meta").to_empty(device="cpu")  # torch's own start draws elsewhere
    with torch.no_grad():
        layer.weight.uniform_(-limit, limit, generator=generator)
        layer.bias.uniform_(-1 / math.sqrt(inputs), 1 / math.sqrt(inputs), generator=generator)
    return layer
