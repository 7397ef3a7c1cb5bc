"""Launches of ``cuda/ssim.cu``."""

from __future__ import annotations

import torch
from torch import Tensor

from scenekit.kernels.gpu.compile import Source
from scenekit.kernels.gpu.launch import blocks_for, launch

THREADS = 256
WIDE, TALL = 32, 16  # pixels of a block's tile
SOURCE = Source.of("ssim")


def forward(image: Tensor, target: Tensor) -> Tensor:
    """The index [H W C]."""
    image, target = image.contiguous(), target.contiguous()
    result = torch.empty_like(image)
    launch(SOURCE, "ssim", _grid(image), THREADS, image, target, *image.shape, result)
    return result


def backward(gradient: Tensor, image: Tensor, target: Tensor) -> Tensor:
    """Gradient [H W C] of the image; no atomics."""
    gradient, image, target = gradient.contiguous(), image.contiguous(), target.contiguous()
    maps, result = image.new_empty(3, *image.shape), torch.empty_like(image)
    grid, shape = _grid(image), image.shape
    launch(SOURCE, "ssim_derivative_maps", grid, THREADS, gradient, image, target, *shape, maps)
    launch(SOURCE, "ssim_backward", grid, THREADS, maps, image, target, *shape, result)
    return result


def _grid(image: Tensor) -> tuple[int, int, int]:
    height, width, channels = image.shape
    return blocks_for(width, WIDE), blocks_for(height, TALL), channels
