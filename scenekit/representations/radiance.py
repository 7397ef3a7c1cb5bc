"""A field that is an encoding with two small networks on it: what most fields are."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from scenekit.core.bounds import Bounds
from scenekit.core.capabilities import Traced
from scenekit.core.protocols import Adaptive, Context, Controller, Encoding, ParameterGroup, Regularized
from scenekit.core.rays import Rays, Samples, Way
from scenekit.representations.adaptation import Adaptation
from scenekit.representations.networks import RadianceNetworks
from scenekit.representations.tracing import lit_samples, picture


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

    def radiance(self, samples: Samples) -> tuple[Float[Tensor, " S"], Float[Tensor, "S 3"]]:
        """See :class:`~scenekit.core.capabilities.Radiant`."""
        return self.networks.radiance(self.encoding(self.bounds.normalize(samples.positions)), samples.directions)

    def trace(self, rays: Rays, way: Way) -> Traced | None:
        """See :class:`~scenekit.core.capabilities.Tracer`; None as for :func:`picture`."""
        return picture(self, rays, way)

    def reach(self, rays: Rays, way: Way, room: int | None = None) -> Int[Tensor, " R"] | None:
        """See :class:`~scenekit.core.capabilities.Tracer`; None as for :func:`picture`."""
        return lit_samples(self, rays, way, room)

    def controllers(self) -> list[Controller]:
        """An adaptive encoding moves to where density is, once early in training."""
        return [Adaptation(self.encoding, self._opacity)] if isinstance(self.encoding, Adaptive) else []

    def _opacity(self, positions: Float[Tensor, "S 3"], length: float) -> Float[Tensor, " S"]:
        """Of a stretch of ``length``, in sides of the field's cube, at positions in it."""
        density, _ = self.networks.density(self.encoding(positions))
        return -torch.expm1(-density * length * 2 * self.bounds.field_extent)

    def terms(self, context: Context) -> Mapping[str, Float[Tensor, ""]]:
        """The encoding's own losses."""
        return self.encoding.terms(context) if isinstance(self.encoding, Regularized) else {}

    def parameter_groups(self) -> list[ParameterGroup]:
        """The encoding's and the networks'."""
        return [*self.encoding.parameter_groups(), *self.networks.parameter_groups(self.learning_rate)]
