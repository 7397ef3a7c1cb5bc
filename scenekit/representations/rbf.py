"""Radial basis functions on a hash grid: neurons that read its features, or adaptive ones beside it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Literal

import torch

from scenekit.core.bounds import Bounds
from scenekit.core.protocols import Encoding
from scenekit.representations.hash_grid import HashGrid
from scenekit.representations.networks import Networks, RadianceNetworks
from scenekit.representations.radiance import RadianceField
from scenekit.representations.rbf_encodings import AdaptiveRBFEncoding, NeuronEncoding


@dataclass(frozen=True)
class RBF:
    """Field of radial basis functions.

    ``neurons`` (Gaussian RBFNet, arXiv 2503.06762) are functions of the features of a hash grid; they stand where other
    fields have hidden layers. ``adaptive`` (NeuRBF) are functions of the point, put where the signal has detail and
    frozen there; they carry features of their own, which stand beside those of a smaller hash grid.

    Attributes:
        kind: which of the two.
        kernel: of the distance.
        functions: neurons, or features that every adaptive function carries.
        centers: adaptive functions; neurons have one per function.
        neighbors: adaptive functions that a point reads.
        highest_frequency: of the sines that adaptive functions pass through; the lowest is 1.
        levels: of the hash grid.
        features: that an entry of the hash grid holds.
        log2_table: log2 of the entries a level has at most.
        finest: cells a side of the finest level, over the inner cube of the scene.
        networks: what makes density and colour of the functions.
        learning_rate: at the start, twice that of a hash grid (Gaussian RBFNet); it ends at a hundredth.
    """

    renderer: ClassVar[str] = "volume"

    kind: Literal["neurons", "adaptive"] = "neurons"
    kernel: Literal["gaussian", "inverse_quadratic", "inverse_multiquadric", "wendland_c2"] = "gaussian"
    functions: int = 32
    centers: int = 16384
    neighbors: int = 4
    highest_frequency: float = 8.0
    levels: int = 8
    features: int = 4
    log2_table: int = 19
    finest: int = 2048
    networks: Networks = field(default_factory=lambda: Networks(width=32, density_layers=0, color_layers=1))
    learning_rate: float = 2e-2

    def encoding(self, dimensions: int, finest: float, generator: torch.Generator | None = None) -> Encoding:
        """Features of any signal's points; ``finest`` is in cells of the hash grid a side of the unit cube.

        Adaptive functions are anywhere until :meth:`~scenekit.core.protocols.Adaptive.adapt` is called.
        """
        grid = HashGrid(levels=self.levels, features=self.features, log2_table=self.log2_table,
                        learning_rate=self.learning_rate)  # fmt: skip
        encoded = grid.encoding(dimensions, finest, generator)
        if self.kind == "neurons":
            return NeuronEncoding(encoded, self.functions, self.kernel, generator)
        sizes = (self.centers, self.functions, self.neighbors)
        return AdaptiveRBFEncoding(encoded, sizes, self.highest_frequency, self.kernel, generator)

    def build(self, bounds: Bounds, generator: torch.Generator | None = None) -> RadianceField:
        """A field with fresh parameters."""
        encoding = self.encoding(3, self.finest * bounds.field_extent, generator)
        networks = RadianceNetworks(self.networks, encoding.features, generator)
        return RadianceField(encoding, networks, bounds, self.learning_rate)
