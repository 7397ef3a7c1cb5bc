"""Which kernels a scene will need on a GPU: they are compiled while photographs are still on their way there.

What is not foreseen here is compiled where it is first launched, a few tenths of a second each.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from scenekit.kernels.gpu import (
    adam,
    assign_fours,
    composite,
    doubles,
    grids,
    intersect,
    launch,
    lit_counts,
    march,
    mlp,
    mlp_half,
    nearest,
    neighbourhood_means,
    pixel_loss,
    pixels_at,
    project,
    radiance,
    rasterize,
    ray_points,
    rays,
    spherical_harmonics,
    ssim,
    step_alphas,
    trace_hash_grid,
)
from scenekit.kernels.gpu import compile as compiling
from scenekit.kernels.gpu.compile import Source
from scenekit.renderers.splats import SplatRenderer
from scenekit.renderers.volume import VolumeRenderer
from scenekit.representations.dense_grid import DenseGridField
from scenekit.representations.factors import Factors
from scenekit.representations.gaussians import GaussianModel
from scenekit.representations.grid_encoding import GridEncoding
from scenekit.representations.mlp import FrequencyNetwork
from scenekit.representations.networks import ColorLayers, RadianceNetworks
from scenekit.representations.radiance import RadianceField
from scenekit.representations.rbf_encodings import AdaptiveRBFEncoding
from scenekit.representations.signal import SignalField
from scenekit.representations.tracing import OnGrid
from scenekit.representations.triplane import TriplaneEncoding

SLOW = {"radiance_backward": 0, "mlp_half_backward": 1, "radiance": 2, "mlp": 3, "mlp_half": 4, "grid": 5}


def begin_compiling(learning: nn.Module, device: torch.device) -> None:
    """Compile in the background what ``learning``, a renderer or a field, will need on ``device``."""
    if device.type == "cuda" and launch.available():
        index = torch.cuda.current_device() if device.index is None else device.index
        memory = launch.shared_memory(torch.device("cuda", index))
        compiling.prepare(foreseen(learning, memory), launch.architecture(index))


def foreseen(learning: nn.Module, memory: int) -> list[Source]:
    """Sources for training and for looking at it, those that take longest to compile first.

    ``memory`` is what a multiprocessor has, in bytes of shared memory: what networks are specialised by.
    """
    found = [adam.SOURCE, doubles.SOURCE, ssim.source(3)]
    for module in learning.modules():
        found += NEEDED.get(type(module), lambda _: [])(module)
        found += _networks(module, memory)
    return sorted(dict.fromkeys(found), key=lambda source: SLOW.get(source.file, len(SLOW)))


def _networks(module: nn.Module, memory: int) -> list[Source]:
    """Of its networks: those that are trained in one pass are asked one by one in others alone."""
    networks = [
        (weights[0].shape[1], *(weight.shape[0] for weight in weights))
        for weights in NETWORKS.get(type(module), lambda _: [])(module)
    ]
    alone = [mlp_half.sources(widths, memory) for widths in networks]
    if isinstance(module, RadianceNetworks):
        density, color = networks
        together = radiance.sources(radiance.Shape(density, color, module.config.harmonics_degree), memory)
        if together:
            alone = [together, *(passes[:1] for passes in alone)]
    return [mlp.SOURCE] * bool(networks) + [source for passes in alone for source in passes]


def _grid(simplices: bool, dimensions: int, table: torch.Tensor) -> Source:
    return grids.source("simplex_grid" if simplices else "hash_grid", dimensions, table.shape[1], table.dtype)


def _directional(module: RadianceNetworks | ColorLayers) -> list[Source]:
    return [spherical_harmonics.source(module.config.harmonics_degree)]


def _dense(module: DenseGridField) -> list[Source]:
    colors = spherical_harmonics.source(module.config.harmonics_degree)
    return [_grid(False, 3, module.densities), _grid(False, 3, module.colors), colors]


def _adaptive(module: AdaptiveRBFEncoding) -> list[Source]:
    return [nearest.source(module.dimensions, module.neighbors)] if module.neighbors <= nearest.MOST else []


def _traced(module: RadianceField) -> list[Source]:
    if not isinstance(module.encoding, OnGrid):
        return []
    (table, layout, neurons), networks = module.encoding.grid_parts, module.networks
    kernel, weights = "" if neurons is None else neurons.kernel, (networks.density_weights, networks.color_weights)
    return trace_hash_grid.sources(trace_hash_grid.Shape.of(table, layout.levels, layout.simplices, kernel, *weights))


def _rasterized(renderer: SplatRenderer[GaussianModel]) -> list[Source]:
    pictures = [rasterize.source(n, file) for n in (3, 4) for file in ("rasterize", "rasterize_backward")]
    stored = renderer.primitives.harmonics_rest.shape[1]
    # The degree rises as training goes on.
    degrees = range(renderer.primitives.config.harmonics_degree + 1)
    projections = [project.specialised(degree, stored if degree else 0, False) for degree in degrees]
    sorting = [assign_fours.SOURCE, neighbourhood_means.SOURCE] * renderer.primitives.config.compact
    return [*projections, intersect.source(1), *pictures, *sorting]


# Weights [out in] of each network, layer by layer.
NETWORKS: dict[type[nn.Module], Callable[[Any], Sequence[Sequence[torch.Tensor]]]] = {
    RadianceNetworks: lambda x: [x.density_weights, x.color_weights],
    ColorLayers: lambda x: [x.color_weights],
    SignalField: lambda x: [x.weights],
    FrequencyNetwork: lambda x: x.parts,
}

# Of single pixels' rays, from which pixels they are to how far off they were.
PIXELS = [rays, march, lit_counts, ray_points, step_alphas, pixel_loss]

NEEDED: dict[type[nn.Module], Callable[[Any], list[Source]]] = {
    RadianceNetworks: _directional,
    ColorLayers: _directional,
    GridEncoding: lambda x: [_grid(x.layout.simplices, x.dimensions, x.table)],
    RadianceField: _traced,
    AdaptiveRBFEncoding: _adaptive,
    TriplaneEncoding: lambda x: [_grid(False, 2, x.planes[0])],
    Factors: lambda x: [_grid(False, len(axes), table) for axes, table in zip(x.axes, x.tables, strict=True)],
    DenseGridField: _dense,
    VolumeRenderer: lambda _: [
        pixels_at.source(torch.uint8),
        *(kernel.SOURCE for kernel in PIXELS),
        composite.source(3),
        composite.source(0),
    ],
    SplatRenderer: _rasterized,
}
