"""The specialisations of every ``cuda/*.cu`` that the gate compiles: each macro at its ends, and what presets use."""

from __future__ import annotations

import torch

from scenekit.kernels.gpu import (
    adam,
    composite,
    grids,
    intersect,
    march,
    mlp,
    project,
    rasterize,
    spherical_harmonics,
    ssim,
    trace_hash_grid,
)
from scenekit.kernels.gpu.compile import Source

SOURCES: list[Source] = [
    adam.SOURCE,
    *(composite.source(channels) for channels in (0, 3, 32)),
    *(intersect.source(tiles) for tiles in (1, 1107, 2**16, 2**16 + 1)),
    march.SOURCE,
    *(
        project.specialised(*each)
        for each in ((-1, 0, False), (0, 0, True), (1, 15, True), (3, 15, False), (4, 24, True))
    ),
    *(rasterize.source(channels, file) for channels in (1, 3, 4, 8) for file in ("rasterize", "rasterize_backward")),
    mlp.SOURCE,
    *(ssim.source(channels) for channels in (1, 3, 4)),
    *(spherical_harmonics.source(degree) for degree in (0, 3, 4)),
    grids.source("hash_grid", 3, 2, torch.float32),
    grids.source("hash_grid", 3, 4, torch.float16),
    grids.source("hash_grid", 2, 8, torch.bfloat16),
    grids.source("hash_grid", 1, 1, torch.float16),
    grids.source("hash_grid", 3, 5, torch.float32),
    grids.source("simplex_grid", 3, 2, torch.float32),
    grids.source("simplex_grid", 6, 4, torch.float16),
    trace_hash_grid.source(False, 3, 2),
    trace_hash_grid.source(True, 4, 4),
]
