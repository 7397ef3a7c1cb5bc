"""A field as a page's shader reads it: three planes and a sparse grid, eight bits a value (MERF, Reiser et al. 2023).

A position's eight raw values are the sum of a trilinear blend in the grid and a bilinear one in each plane. The
first is the logarithm of the optical thickness of one smallest step; after a sigmoid the next three are the diffuse
colour and the last four are features, from which one small network makes what depends on the direction, once a
pixel.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from jaxtyping import Float
from torch import Tensor, nn

from scenekit.core.bounds import Bounds
from scenekit.core.constants import constant
from scenekit.core.protocols import ParameterGroup
from scenekit.core.rays import Samples
from scenekit.core.schedules import exponential
from scenekit.distill.bake.blocks import Blocks, corners_of
from scenekit.kernels.hash_grid import GridLayout, hash_grid
from scenekit.kernels.mlp import mlp
from scenekit.kernels.spherical_harmonics import spherical_harmonics

CHANNELS = 8
FEATURES = 7  # after the sigmoid: diffuse colour and what the network sees
LEVELS = 127  # steps of a byte to either side of 0, which is exact
DENSITY_REACH, FEATURE_REACH = 14.0, 7.0  # what the bytes reach to
PLANES = ((0, 1), (0, 2), (1, 2))
DEGREE = 3  # of the harmonics of the direction
WIDTHS = (FEATURES + (DEGREE + 1) ** 2, 16, 16, 3)


class BakedField(nn.Module):
    """Planes of R x R vertices, a sparse grid, and the network; see the module.

    It is where its blocks are. ``rounded`` says whether values are rounded to bytes as they are read, with gradients as
    if they were not. ``unit`` is the length, in scene units, in which density is measured.
    """

    def __init__(
        self, bounds: Bounds, blocks: Blocks, planes: int, unit: float, generator: torch.Generator | None = None
    ) -> None:
        super().__init__()
        self.bounds = bounds
        self.blocks = blocks
        self.unit = unit
        self.rounded = True
        rows = (planes * planes + 7) // 8 * 8
        self.layout = GridLayout(2, (float(planes - 2),), (planes,), (0, rows))
        device = blocks.places.device
        self.grid = nn.Parameter(torch.zeros(len(blocks.places), CHANNELS, device=device))
        self.planes = nn.ParameterList(nn.Parameter(torch.zeros(rows, CHANNELS, device=device)) for _ in PLANES)
        self.network = nn.ParameterList(_network(generator, device))
        self._held: tuple[Tensor, ...] | None = None

    @property
    def resolution(self) -> int:
        """Vertices along a side of a plane."""
        return self.layout.resolutions[0]

    def density(self, samples: Samples) -> tuple[Float[Tensor, " S"], Float[Tensor, "S 7"]]:
        """Extinction per unit of length in ``scene``, nothing outside the blocks; diffuse colours and features."""
        unit = self.bounds.normalize(samples.positions)
        there, rows, weights = corners_of(self.blocks, unit)
        grid, *planes = self._tables() if self._held is None else self._held
        raw = nn.functional.embedding_bag(rows, grid, per_sample_weights=weights.to(grid.dtype), mode="sum")
        for axes, plane in zip(PLANES, planes, strict=True):
            raw = raw + hash_grid(unit[:, axes].contiguous(), plane, self.layout)
        return raw[:, 0].exp() / self.unit * there, raw[:, 1:].sigmoid()

    def color(self, features: Float[Tensor, "S 7"], samples: Samples) -> Float[Tensor, "S 3"]:
        """The shade of each sample by itself; pages shade whole rays instead."""
        return self.shade(features, torch.ones_like(features[:, 0]), samples.directions).clamp(0, 1)

    def shade(
        self, seen: Float[Tensor, "R 7"], opacities: Float[Tensor, " R"], directions: Float[Tensor, "R 3"]
    ) -> Float[Tensor, "R 3"]:
        """Colours of rays, multiplied by opacity, from what was composited along them."""
        encoded = spherical_harmonics(directions, DEGREE)
        return seen[:, :3] + opacities[:, None] * mlp(torch.cat([seen, encoded], -1), tuple(self.network)).tanh()

    def values(self, stored: Float[Tensor, "N 8"]) -> Float[Tensor, "N 8"]:
        """What the bytes of ``stored`` stand for; the parameters themselves while nothing is rounded."""
        if not self.rounded:
            return stored
        with torch.no_grad():
            off = steps_of(stored).mul_(_step(stored)).sub_(stored)
        return stored + off

    @contextmanager
    def held(self) -> Iterator[None]:
        """Values are rounded once for all that is asked meanwhile, in which parameters must stay as they are."""
        self._held = self._tables()
        try:
            yield
        finally:
            self._held = None

    def _tables(self) -> tuple[Tensor, ...]:
        return tuple(self.values(table) for table in (self.grid, *self.planes))

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> BakedField:
        """Blocks go where parameters go."""
        moved = (fn(tensor) for tensor in (self.blocks.numbers, self.blocks.vertices, self.blocks.places))
        self.blocks = Blocks(self.blocks.resolution, *moved)
        return super()._apply(fn, recurse)

    def parameter_groups(self) -> list[ParameterGroup]:
        """What no ray touches keeps its moments."""
        rate = exponential(2e-2, 2e-3, warm_up=0.02)
        tables = {name: p for name, p in self.named_parameters() if not name.startswith("network")}
        network = {name: p for name, p in self.named_parameters() if name.startswith("network")}
        return [
            ParameterGroup("tables", tables, rate, betas=(0.9, 0.99), sparse=True),
            ParameterGroup("network", network, exponential(5e-3, 5e-4, warm_up=0.02), betas=(0.9, 0.99)),
        ]


def steps_of(stored: Float[Tensor, "N 8"]) -> Float[Tensor, "N 8"]:
    """Whole steps from -127 to 127; a byte holds them plus 128."""
    return (stored / _step(stored)).round_().clamp_(-LEVELS, LEVELS)


def _step(like: Tensor) -> Tensor:
    return constant((DENSITY_REACH, *[FEATURE_REACH] * FEATURES), like.device, like.dtype) / LEVELS


def _network(generator: torch.Generator | None, device: torch.device) -> list[nn.Parameter]:
    weights = []
    for inputs, outputs in itertools.pairwise(WIDTHS):
        limit = math.sqrt(6 / (inputs + outputs))
        weights.append(torch.empty(outputs, inputs, device=device).uniform_(-limit, limit, generator=generator))
    weights[-1] *= 0.01  # the diffuse colour comes first
    return [nn.Parameter(weight) for weight in weights]
