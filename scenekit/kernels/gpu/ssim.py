"""Launches of ``cuda/ssim.cu``."""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor

from scenekit.kernels.gpu.compile import Source
from scenekit.kernels.gpu.launch import blocks_for, launch

THREADS = 128
TALL = 34  # rows that a block finishes
MOST_CHANNELS = 4  # beside each other


def forward(image: Tensor, target: Tensor) -> Tensor:
    """The index [H W C]."""
    given, (image, target) = image.shape[-1], (_batch(x) for x in (image, target))
    result = torch.empty_like(image)
    launch(source(image.shape[-1]), "ssim", _grid(image), THREADS, image, target, *_rows(image), result)
    return _unbatched(result, given)


def backward(gradient: Tensor, image: Tensor, target: Tensor) -> Tensor:
    """Gradient [H W C] of the image; no atomics."""
    given, (gradient, image, target) = image.shape[-1], (_batch(x) for x in (gradient, image, target))
    maps, result = image.new_empty(3, *image.shape), torch.empty_like(image)
    used, grid, rows = source(image.shape[-1]), _grid(image), _rows(image)
    launch(used, "ssim_derivative_maps", grid, THREADS, gradient, image, target, *rows, maps)
    launch(used, "ssim_backward", grid, THREADS, maps, image, target, *rows, result)
    return _unbatched(result, given)


def loss(image: Tensor, target: Tensor, weight: float, wanted: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Both terms of the loss over [N H W C], and the maps [3 N H W C] that its gradient is found from."""
    image, target, grid = image.contiguous(), target.contiguous(), _grid(image)
    maps = image.new_empty(3, *image.shape) if wanted else None
    if 0 in grid:
        l1, dssim = image.new_zeros(()), image.new_zeros(())
    else:
        blocks, used = grid[0] * grid[1] * grid[2], source(image.shape[-1])
        l1, dssim, partial = image.new_empty(()), image.new_empty(()), image.new_empty(blocks, 2)
        launch(used, "l1_dssim", grid, THREADS, image, target, *_rows(image), partial, maps)
        sums = (partial, blocks, image.numel(), float(weight))
        launch(used, "l1_dssim_conclude", 1, THREADS, *sums, l1, dssim)
    return l1, dssim, image.new_empty(0) if maps is None else maps


def loss_backward(l1: Tensor, dssim: Tensor, image: Tensor, target: Tensor, maps: Tensor, weight: float) -> Tensor:
    """Gradient of the image from those of the terms."""
    given = [x.contiguous() for x in (l1, dssim, maps, image, target)]
    result = torch.empty_like(given[3])
    used, grid = source(image.shape[-1]), _grid(image)
    launch(used, "l1_dssim_backward", grid, THREADS, *given, *_rows(image), float(weight), result)
    return result


@cache
def source(channels: int) -> Source:
    """Specialised by how many channels lie beside each other."""
    return Source.of("ssim", CHANNELS=channels)


def _batch(image: Tensor) -> Tensor:
    """An image [1 H W C]; of many channels each is an image of its own, [C H W 1]."""
    if image.shape[-1] <= MOST_CHANNELS:
        return image.contiguous()[None]
    return image.permute(2, 0, 1)[..., None].contiguous()


def _unbatched(result: Tensor, channels: int) -> Tensor:
    return result[0] if result.shape[-1] == channels else result[..., 0].permute(1, 2, 0).contiguous()


def _grid(images: Tensor) -> tuple[int, int, int]:
    count, height, width, channels = images.shape
    return blocks_for(width * channels, THREADS), blocks_for(height, TALL), count


def _rows(images: Tensor) -> tuple[int, int]:
    """How many there are, and how many floats a row has."""
    return images.shape[1], images.shape[2] * images.shape[3]
