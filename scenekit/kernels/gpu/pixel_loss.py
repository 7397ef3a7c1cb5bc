"""Launches of ``cuda/pixel_loss.cu``: sums of blocks, then their sum in a fixed order."""

from __future__ import annotations

from typing import Any, NamedTuple

from torch import Tensor

from scenekit.kernels.gpu.compile import Source
from scenekit.kernels.gpu.launch import blocks_for, launch

THREADS = 256
SUMS = 4  # of a block
SOURCE = Source.of("pixel_loss")


class Pixels(NamedTuple):
    """What is compared, as the op takes it."""

    colors: Tensor
    opacities: Tensor
    behind: Tensor
    photographed: Tensor
    valid: Tensor | None
    left_out: Tensor | None

    def packed(self) -> tuple[Any, ...]:
        """As kernels take it; from one colour behind to the next it is 3 floats, or none where there is but one."""
        colors, opacities, behind, photographed, *masks = (None if x is None else x.contiguous() for x in self)
        apart, channels = 3 * (self.behind.dim() > 1), self.photographed.shape[1]
        return colors, opacities, behind, apart, photographed, channels, *masks, len(self.colors)


def forward(pixels: Pixels, delta: float) -> tuple[Tensor, Tensor, Tensor]:
    """Loss, mean squared error of what is judged, share that was served."""
    count, new = len(pixels.colors), pixels.colors.new_empty
    blocks = blocks_for(count, THREADS)
    sums, results = new(SUMS, blocks), (new(()), new(()), new(()))
    launch(SOURCE, "pixel_loss", blocks, THREADS, *pixels.packed(), float(delta), sums)
    launch(SOURCE, "pixel_loss_sum", 1, THREADS, sums, blocks, count, *results)
    return results


def backward(for_huber: Tensor, pixels: Pixels, delta: float, *, wanted: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of colours, opacities and, where wanted, of what is behind."""
    count, new = len(pixels.colors), pixels.colors.new_empty
    for_colors, for_opacities, for_behind = new(count, 3), new(count), new(count, 3) if wanted else None
    arguments = (for_huber, *pixels.packed(), float(delta), for_colors, for_opacities, for_behind)
    launch(SOURCE, "pixel_loss_backward", blocks_for(count, THREADS), THREADS, *arguments)
    if for_behind is None:
        return for_colors, for_opacities, new(0)
    return for_colors, for_opacities, for_behind if pixels.behind.dim() > 1 else for_behind.sum(0)
