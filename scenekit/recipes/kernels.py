"""Which kernels a scene will need on a GPU: they are compiled while photographs are still on their way there.

What is not foreseen here is compiled where it is first launched, a few tenths of a second each.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from scenekit.kernels.gpu import (
    adam,
    composite,
    grids,
    intersect,
    launch,
    march,
    mlp,
    project,
    rasterize,
    spherical_harmonics,
    ssim,
    trace_hash_grid,
)
from scenekit.kernels.gpu import compile as compiling
from scenekit.kernels.gpu.compile import Source
from scenekit.renderers.splats import SplatRenderer
from scenekit.renderers.volume import VolumeRenderer
from scenekit.representations.dense_grid import DenseGridField
from scenekit.representations.factors import Factors
from scenekit.representations.gaussians import GaussianModel
from scenekit.representations.grid_field import GridEncoding, GridRadianceField
from scenekit.representations.networks import ColorLayers, RadianceNetworks
from scenekit.representations.signal import SignalField
from scenekit.representations.triplane import TriplaneEncoding

SLOW = {"mlp": 0, "grid": 1}


def begin_compiling(learning: nn.Module, device: torch.device) -> None:
    """Compile in the background what ``learning``, a renderer or a field, will need on ``device``."""
    if device.type == "cuda" and launch.available():
        index = torch.cuda.current_device() if device.index is None else device.index
        compiling.prepare(foreseen(learning), launch.architecture(index))


def foreseen(learning: nn.Module) -> list[Source]:
    """Sources for training and for looking at it, those that take longest to compile first."""
    found = [adam.SOURCE, ssim.SOURCE]
    for module in learning.modules():
        found += NEEDED.get(type(module), lambda _: [])(module)
    return sorted(dict.fromkeys(found), key=lambda source: SLOW.get(source.file, len(SLOW)))


def _grid(simplices: bool, dimensions: int, table: torch.Tensor) -> Source:
    return grids.source("simplex_grid" if simplices else "hash_grid", dimensions, table.shape[1], table.dtype)


def _networks(module: RadianceNetworks | ColorLayers) -> list[Source]:
    return [mlp.SOURCE, spherical_harmonics.source(module.config.harmonics_degree)]


def _dense(module: DenseGridField) -> list[Source]:
    colors = spherical_harmonics.source(module.config.harmonics_degree)
    return [_grid(False, 3, module.densities), _grid(False, 3, module.colors), colors]


def _traced(module: GridRadianceField) -> list[Source]:
    encoding, networks = module.encoding, module.networks
    weights = networks.density_weights, networks.color_weights
    return trace_hash_grid.sources(trace_hash_grid.Shape.of(encoding.table, encoding.layout.simplices, *weights))


def _rasterized(_: SplatRenderer[GaussianModel]) -> list[Source]:
    pictures = [rasterize.source(n, file) for n in (3, 4) for file in ("rasterize", "rasterize_backward")]
    return [project.SOURCE, intersect.source(1), *pictures]


NEEDED: dict[type[nn.Module], Callable[[Any], list[Source]]] = {
    RadianceNetworks: _networks,
    ColorLayers: _networks,
    SignalField: lambda _: [mlp.SOURCE],
    GridEncoding: lambda x: [_grid(x.layout.simplices, x.dimensions, x.table)],
    GridRadianceField: _traced,
    TriplaneEncoding: lambda x: [_grid(False, 2, x.planes[0])],
    Factors: lambda x: [_grid(False, len(axes), table) for axes, table in zip(x.axes, x.tables, strict=True)],
    DenseGridField: _dense,
    VolumeRenderer: lambda _: [march.SOURCE, composite.source(3), composite.source(0)],
    SplatRenderer: _rasterized,
    # The degree rises as training goes on.
    GaussianModel: lambda x: [spherical_harmonics.source(n) for n in range(x.config.harmonics_degree + 1)],
}
