"""A field that is an encoding with two small networks on it: what most fields are."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn

from scenekit.core.bounds import Bounds
from scenekit.core.protocols import Encoding, ParameterGroup
from scenekit.core.rays import Samples
from scenekit.representations.networks import RadianceNetworks


class RadianceField(nn.Module):
    """Density and colour of an encoded position; the representation chooses the encoding.

    ``learning_rate`` is that of the networks; the encoding has its own.
    """

    def __init__(self, encoding: Encoding, networks: RadianceNetworks, bounds: Bounds, learning_rate: float) -> None:
        super().__init__()
        self.encoding = encoding
        self.networks = networks
        self.bounds = bounds
        self.learning_rate = learning_rate

    def density(self, samples: Samples) -> tuple[Float[Tensor, " S"], Float[Tensor, "S F"]]:
        """See :meth:`RadianceNetworks.density`."""
        return self.networks.density(self.encoding(self.bounds.normalize(samples.positions)))

    def color(self, features: Float[Tensor, "S F"], samples: Samples) -> Float[Tensor, "S 3"]:
        """See :meth:`RadianceNetworks.color`."""
        return self.networks.color(features, samples.directions)

    def parameter_groups(self) -> list[ParameterGroup]:
        """The encoding's and the networks'."""
        return [*self.encoding.parameter_groups(), *self.networks.parameter_groups(self.learning_rate)]
