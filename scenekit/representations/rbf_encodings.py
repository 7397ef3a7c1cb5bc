"""Two encodings of radial basis functions; see :class:`~scenekit.representations.rbf.RBF`."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from scenekit.core.protocols import ParameterGroup
from scenekit.core.schedules import exponential
from scenekit.kernels.nearest import nearest
from scenekit.kernels.rbf import Neurons, adaptive_rbf, rbf_neurons
from scenekit.representations.grid_encoding import GridEncoding
from scenekit.representations.kmeans import weighted_kmeans, whitening_of
from scenekit.representations.tracing import GridParts


def _group(name: str, parameters: dict[str, nn.Parameter], learning_rate: float, *, sparse: bool) -> ParameterGroup:
    rate = exponential(learning_rate, learning_rate / 100, warm_up=0.01, hold=0.2)
    return ParameterGroup(name, parameters, rate, betas=(0.9, 0.99), sparse=sparse)


class NeuronEncoding(nn.Module):
    """Functions of the features of a grid: one layer whose weights are centres and precisions."""

    def __init__(self, grid: GridEncoding, functions: int, kernel: str, generator: torch.Generator | None) -> None:
        super().__init__()
        self.grid = grid
        self.dimensions = grid.dimensions
        self.features = functions
        self.kernel = kernel
        # As near to 0 as fresh features are (Gaussian RBFNet): centres a unit away learnt toy signals no better.
        centers = torch.empty(functions, grid.features)
        self.centers = nn.Parameter(centers.uniform_(-1e-4, 1e-4, generator=generator))
        self.log_precisions = nn.Parameter(torch.zeros(functions, grid.features))

    @property
    def grid_parts(self) -> GridParts:
        """See :class:`~scenekit.representations.tracing.OnGrid`."""
        neurons = Neurons(self.centers, self.log_precisions, self.kernel)
        return self.grid.grid_parts._replace(neurons=neurons)

    def forward(self, positions: Float[Tensor, "S D"]) -> Float[Tensor, "S F"]:
        """How near the features of each position in [0, 1]^D are to every centre."""
        return rbf_neurons(self.grid(positions), self.centers, self.log_precisions, self.kernel)

    def parameter_groups(self) -> list[ParameterGroup]:
        """Centres and precisions learn as fast as the grid (Gaussian RBFNet)."""
        rate = self.grid.learning_rate
        neurons = {"encoding.centers": self.centers, "encoding.log_precisions": self.log_precisions}
        return [
            _group("table", {"encoding.grid.table": self.grid.table}, rate, sparse=True),
            _group("neurons", neurons, rate, sparse=False),
        ]


class AdaptiveRBFEncoding(nn.Module):
    """The features of a grid, and those of the functions nearest to a point; centres and shapes are frozen.

    ``sizes`` are how many functions there are, how many features each carries, and how many a point reads.
    """

    def __init__(
        self,
        grid: GridEncoding,
        sizes: tuple[int, int, int],
        highest_frequency: float,
        kernel: str,
        generator: torch.Generator | None,
    ) -> None:
        super().__init__()
        count, functions, self.neighbors = sizes
        if self.neighbors > count:
            raise ValueError(f"neighbors: wanted at most the number of centers, {count}, found {self.neighbors}")
        self.grid = grid
        self.dimensions = grid.dimensions
        self.features = grid.features + functions
        self.kernel = kernel
        spacing = count ** (-1 / grid.dimensions)
        self.register_buffer("centers", torch.rand(count, grid.dimensions, generator=generator))
        self.register_buffer("whitening", torch.eye(grid.dimensions).repeat(count, 1, 1) / spacing)
        frequencies = torch.logspace(0, math.log10(highest_frequency), functions)
        self.register_buffer("frequencies", frequencies, persistent=False)
        self.values = nn.Parameter(torch.empty(count, functions))
        self.bias = nn.Parameter(torch.zeros(self.features))
        self._forget(generator)

    def forward(self, positions: Float[Tensor, "S D"]) -> Float[Tensor, "S F"]:
        """Grid features, then those of the functions, of each position in [0, 1]^D."""
        shapes = (self.get_buffer("centers"), self.get_buffer("whitening"))
        near = nearest(positions, shapes[0], self.neighbors)
        own = adaptive_rbf(positions, near, shapes, self.values, self.get_buffer("frequencies"), self.kernel)
        return torch.cat([self.grid(positions), own], -1) + self.bias

    @torch.no_grad()
    def adapt(
        self, points: Float[Tensor, "M D"], weights: Float[Tensor, " M"], generator: torch.Generator | None = None
    ) -> None:
        """See :class:`~scenekit.core.protocols.Adaptive`: clusters of the weighted points (NeuRBF, section 3.3)."""
        held = self.get_buffer("centers")
        centers, owners = weighted_kmeans(points, weights, len(held), generator)
        held.copy_(centers)
        self.get_buffer("whitening").copy_(whitening_of(points, weights, centers, owners))
        self._forget(generator)

    @torch.no_grad()
    def _forget(self, generator: torch.Generator | None) -> None:
        self.values.uniform_(-1e-4, 1e-4, generator=generator)

    def parameter_groups(self) -> list[ParameterGroup]:
        """Features learn where they were touched."""
        rate = self.grid.learning_rate
        features = {"encoding.grid.table": self.grid.table, "encoding.values": self.values}
        return [
            _group("table", features, rate, sparse=True),
            _group("bias", {"encoding.bias": self.bias}, rate, sparse=False),
        ]
