"""Launches of ``cuda/pixels_at.cu``."""

from __future__ import annotations

import torch
from torch import Tensor

from scenekit.kernels.gpu.compile import Source
from scenekit.kernels.gpu.launch import blocks_for, launch

THREADS = 256


def source(dtype: torch.dtype) -> Source:
    """For pictures of bytes or halves."""
    return Source.of("pixels_at", HALVES=dtype == torch.float16)


def pixels_at(index: Tensor, starts: Tensor, widths: Tensor, colors: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Cameras [R], positions [R 2] and colours [R c] of pixels."""
    inputs = [x.contiguous() for x in (index, starts, widths, colors)]
    count, channels = len(index), colors.shape[1]
    cameras = torch.empty_like(inputs[0])
    positions, found = (index.new_empty(count, n, dtype=torch.float32) for n in (2, channels))
    arguments = (*inputs, count, len(widths), channels, cameras, positions, found)
    launch(source(colors.dtype), "pixels_at", blocks_for(count, THREADS), THREADS, *arguments)
    return cameras, positions, found
