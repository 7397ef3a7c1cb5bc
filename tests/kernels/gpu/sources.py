"""The specialisations of every ``cuda/*.cu`` that the gate compiles: each macro at its ends, and what presets use."""

from __future__ import annotations

import torch

from scenekit.kernels.gpu import (
    adam,
    assign_fours,
    composite,
    doubles,
    grids,
    intersect,
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
from scenekit.kernels.gpu.compile import Source


def _traced(simplices: bool, harmonics: int, features: int, dtype: torch.dtype, width: int, exact: bool) -> Source:
    widths = (4 * features, width, 15), (15 + harmonics, width, 3)
    return trace_hash_grid.source(trace_hash_grid.Shape(4, simplices, features, dtype, "", *widths), exact=exact)


def _neurons(simplices: bool, features: int, kernel: str, neurons: int, exact: bool) -> Source:
    shape = trace_hash_grid.Shape(8, simplices, features, torch.float32, kernel, (neurons, 16), (32, 32, 3))
    return trace_hash_grid.source(shape, exact=exact)


def _networks(widths: tuple[int, ...], forward: mlp_half.Plan, backward: mlp_half.Plan) -> list[Source]:
    return [mlp_half.source(forward, widths), mlp_half.backward_source(backward, widths)]


def _radiance(shape: radiance.Shape, forward: radiance.Plan, backward: radiance.Plan) -> list[Source]:
    return [radiance.source(shape, forward), radiance.backward_source(shape, backward)]


SOURCES: list[Source] = [
    adam.SOURCE,
    assign_fours.SOURCE,
    *(composite.source(channels) for channels in (0, 3, 32)),
    *(intersect.source(tiles) for tiles in (1, 1107, 2**16, 2**16 + 1)),
    march.SOURCE,
    lit_counts.SOURCE,
    ray_points.SOURCE,
    rays.SOURCE,
    step_alphas.SOURCE,
    pixel_loss.SOURCE,
    *(pixels_at.source(dtype) for dtype in (torch.uint8, torch.float16)),
    doubles.SOURCE,
    *(
        project.specialised(*each)
        for each in ((-1, 0, False), (0, 0, True), (1, 15, True), (3, 15, False), (4, 24, True))
    ),
    *(rasterize.source(channels, file) for channels in (1, 3, 4, 8) for file in ("rasterize", "rasterize_backward")),
    *(nearest.source(*each) for each in ((2, 1), (2, 16), (3, 1), (3, 2), (3, 8), (3, 16))),
    neighbourhood_means.SOURCE,
    mlp.SOURCE,
    *_networks((32, 64, 16), mlp_half.FORWARD[0], mlp_half.BACKWARD[0]),
    *_networks((32, 64, 64, 3), mlp_half.FORWARD[0], mlp_half.BACKWARD[1]),
    *_networks((20, 100, 128, 5), mlp_half.FORWARD[-1], mlp_half.BACKWARD[-1]),
    *_radiance(radiance.Shape((32, 64, 16), (32, 64, 64, 3), 3), radiance.FORWARD[0], radiance.BACKWARD[0]),
    *_radiance(radiance.Shape((16, 64, 16), (32, 64, 64, 3), 3), radiance.FORWARD[0], radiance.BACKWARD[1]),
    *_radiance(radiance.Shape((20, 100, 15), (40, 128, 3), 4), radiance.FORWARD[-1], radiance.BACKWARD[-1]),
    *(ssim.source(channels) for channels in (1, 3, 4)),
    *(spherical_harmonics.source(degree) for degree in (0, 3, 4)),
    grids.source("hash_grid", 3, 2, torch.float32),
    grids.source("hash_grid", 3, 4, torch.float16),
    grids.source("hash_grid", 2, 8, torch.bfloat16),
    grids.source("hash_grid", 1, 1, torch.float16),
    grids.source("hash_grid", 3, 5, torch.float32),
    grids.source("simplex_grid", 3, 2, torch.float32),
    grids.source("simplex_grid", 6, 4, torch.float16),
    grids.source("hash_grid", 3, 27, torch.float32),
    grids.source("hash_grid", 3, 64, torch.float16),
    grids.source("hash_grid", 2, 48, torch.float32),
    grids.source("hash_grid", 1, 63, torch.bfloat16),
    grids.source("simplex_grid", 6, 18, torch.float32),
    *(_traced(False, 16, 2, torch.float32, 64, exact) for exact in (False, True)),
    *(_traced(True, 25, 4, torch.float16, 48, exact) for exact in (False, True)),
    _traced(False, 4, 5, torch.bfloat16, 128, exact=True),
    *(_neurons(False, 4, kernel, 32, exact) for kernel in ("gaussian", "wendland_c2") for exact in (False, True)),
    _neurons(True, 1, "inverse_quadratic", 64, exact=False),
    _neurons(True, 3, "inverse_multiquadric", 250, exact=True),
]
