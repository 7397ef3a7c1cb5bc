"""Launches of ``cuda/lit_counts.cu``."""

from __future__ import annotations

from torch import Tensor

from scenekit.kernels.gpu.compile import Source
from scenekit.kernels.gpu.launch import blocks_for, launch

THREADS = 128
RAYS = THREADS // 32  # a warp takes a ray
SOURCE = Source.of("lit_counts")


def lit_counts(thickness: Tensor, offsets: Tensor) -> Tensor:
    """Lit samples of each ray [R]."""
    thickness, offsets, rays = thickness.contiguous(), offsets.contiguous(), len(offsets) - 1
    counts = offsets.new_empty(rays)
    arguments = (thickness, offsets, rays, len(thickness), counts)
    launch(SOURCE, "lit_counts", blocks_for(rays, RAYS), THREADS, *arguments)
    return counts
