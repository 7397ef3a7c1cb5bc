"""What single pixels of many pictures are: whose, where, and of what colour."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from scenekit.core.checks import check_shape
from scenekit.kernels.gpu import pixels_at as gpu
from scenekit.kernels.op import register


class PixelsAt(NamedTuple):
    """R pixels.

    Attributes:
        cameras: number of the picture.
        positions: in its image, in pixels; centres lie at +0.5.
        colors: in [0, 1] where bytes were given, else the values themselves.
    """

    cameras: Int[Tensor, " R"]
    positions: Float[Tensor, "R 2"]
    colors: Float[Tensor, "R c"]


def pixel_numbers(
    sizes: Sequence[tuple[int, int]], device: torch.device
) -> tuple[Int[Tensor, " C1"], Int[Tensor, " C"]]:
    """``starts`` and ``widths`` of pictures of these widths and heights, as :func:`pixels_at` takes them."""
    widths, heights = torch.tensor(sizes, device=device).unbind(-1)
    return torch.cat([widths.new_zeros(1), (widths * heights).cumsum(0)]), widths.contiguous()


def pixels_at(
    index: Int[Tensor, " R"], starts: Int[Tensor, " C1"], widths: Int[Tensor, " C"], colors: Shaped[Tensor, "P c"]
) -> PixelsAt:
    """Look up pixels by their numbers, counted through all pictures row by row.

    Those of picture c are ``starts[c]`` to ``starts[c + 1]``, ``widths[c]`` to a row; all numbers are int64. Colours
    are bytes, or halves of any meaning. Raises ValueError for a wrong shape or type.
    """
    sizes: dict[str, int] = {}
    check_shape("index", index, ("R",), sizes)
    check_shape("widths", widths, ("C",), sizes)
    check_shape("starts", starts, (sizes["C"] + 1,), sizes)
    check_shape("colors", colors, ("P", "c"), sizes)
    for name, tensor in (("index", index), ("starts", starts), ("widths", widths)):
        if tensor.dtype != torch.int64:
            raise ValueError(f"{name}: wanted int64, found {tensor.dtype}")
    if colors.dtype not in (torch.uint8, torch.float16):
        raise ValueError(f"colors: wanted bytes or halves, found {colors.dtype}")
    return PixelsAt(*PIXELS_AT(index, starts, widths, colors))


def _reference(index: Tensor, starts: Tensor, widths: Tensor, colors: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    camera = torch.searchsorted(starts.contiguous(), index.contiguous(), right=True) - 1
    local, width = index - starts[camera], widths[camera]
    positions = torch.stack([local % width + 0.5, local // width + 0.5], -1)
    values = colors[index].float()
    return camera, positions, values / 255 if colors.dtype == torch.uint8 else values


def _fake(index: Tensor, starts: Tensor, widths: Tensor, colors: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    count, floats = len(index), torch.float32
    numbers = index.new_empty(count), index.new_empty(count, 2, dtype=floats)
    return *numbers, colors.new_empty(count, colors.shape[1], dtype=floats)


PIXELS_AT = register(
    "pixels_at(Tensor index, Tensor starts, Tensor widths, Tensor colors) "
    "-> (Tensor cameras, Tensor positions, Tensor colors_there)",
    _reference,
    fake=_fake,
    cuda=gpu.pixels_at,
    cuda_dtypes=(torch.float16,),
)
