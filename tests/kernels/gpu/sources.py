"""The specialisations of every ``cuda/*.cu`` that the gate compiles: each macro at its ends, and what presets use."""

from __future__ import annotations

import torch

from scenekit.kernels.gpu import grids, spherical_harmonics
from scenekit.kernels.gpu.compile import Source

SOURCES: list[Source] = [
    *(spherical_harmonics.source(degree) for degree in (0, 3, 4)),
    grids.source("hash_grid", 3, 2, torch.float32),
    grids.source("hash_grid", 3, 4, torch.float16),
    grids.source("hash_grid", 2, 8, torch.bfloat16),
    grids.source("hash_grid", 1, 1, torch.float16),
    grids.source("hash_grid", 3, 5, torch.float32),
    grids.source("simplex_grid", 3, 2, torch.float32),
    grids.source("simplex_grid", 6, 4, torch.float16),
]
