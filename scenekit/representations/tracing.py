"""The fused pass of fields on a grid: pictures, and how far light reaches (``scenekit.core.capabilities.Tracer``)."""

from __future__ import annotations

from typing import NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from scenekit.core.bounds import Bounds
from scenekit.core.capabilities import Traced
from scenekit.core.protocols import Encoding
from scenekit.core.rays import Rays, Way
from scenekit.kernels import native
from scenekit.kernels.gpu import launch
from scenekit.kernels.grid_layout import GridLayout
from scenekit.kernels.march import StepRule
from scenekit.kernels.rbf import Neurons
from scenekit.kernels.trace_hash_grid import GridField, Stretches, trace_hash_grid
from scenekit.representations.networks import RadianceNetworks


class GridParts(NamedTuple):
    """What an encoding on a grid is made of: rows of all levels, where they are, and neurons that read them."""

    table: Float[Tensor, "E F"]
    layout: GridLayout
    neurons: Neurons | None = None


@runtime_checkable
class OnGrid(Protocol):
    """What an encoding may also be: one that the fused pass knows."""

    @property
    def grid_parts(self) -> GridParts:
        """What it is made of."""
        ...


@runtime_checkable
class EncodedField(Protocol):
    """An encoding with two networks on it."""

    @property
    def encoding(self) -> Encoding:
        """Features of points in the unit cube."""
        ...

    @property
    def networks(self) -> RadianceNetworks:
        """What makes density and colour of the features."""
        ...

    @property
    def bounds(self) -> Bounds:
        """Where it is."""
        ...


@torch.no_grad()
def picture(field: EncodedField, rays: Rays, way: Way) -> Traced | None:
    """What rays see of ``field``; None where its encoding is on no grid, and without native code."""
    return _trace(field, rays, way, shaded=True)


@torch.no_grad()
def lit_samples(field: EncodedField, rays: Rays, way: Way, room: int | None) -> Int[Tensor, " R"] | None:
    """How many samples of each ray light reaches, up to ``room`` in all; None as for :func:`picture`."""
    traced = _trace(field, rays, way, shaded=False, room=room)
    return None if traced is None else traced.samples


def _trace(field: EncodedField, rays: Rays, way: Way, *, shaded: bool, room: int | None = None) -> Traced | None:
    if not isinstance(field.encoding, OnGrid):
        return None
    table, layout, neurons = field.encoding.grid_parts
    tensors = rays.origins, table
    if not (launch.available() if all(x.is_cuda for x in tensors) else native.serves(*tensors)):
        return None
    weights = tuple(field.networks.density_weights), tuple(field.networks.color_weights)
    traced = GridField(table, layout, *weights, field.networks.log_density, field.bounds, neurons)
    stretches = Stretches(rays.origins, rays.directions, way.near, way.far, way.jitter)
    rule, most = StepRule(*way.rule), way.max_samples
    return trace_hash_grid(stretches, way.occupancy, rule, most, traced, shaded=shaded, room=room)
