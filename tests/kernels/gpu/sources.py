"""The specialisations of every ``cuda/*.cu`` that the gate compiles: each macro at its ends, and what presets use."""

from __future__ import annotations

from scenekit.kernels.gpu import spherical_harmonics
from scenekit.kernels.gpu.compile import Source

SOURCES: list[Source] = [
    *(spherical_harmonics.source(degree) for degree in (0, 3, 4)),
]
