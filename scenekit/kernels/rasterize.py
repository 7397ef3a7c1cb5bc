"""Splatting: the picture that the Gaussians of every tile blend into, front to back.

At a pixel centre ``p``, ``sigma = (p - mean)^T conic (p - mean) / 2`` and
``alpha = min(0.99, opacity * exp(-sigma))``; alphas below 1/255 are skipped, and a pixel closes before its
transmittance would fall below 1e-4 (Kerbl et al. 2023, eq. 3, with the thresholds of their rasterizer).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from scenekit.core.checks import check_shape
from scenekit.kernels import native
from scenekit.kernels.gpu import rasterize as on_gpu
from scenekit.kernels.intersect import (
    FEATURES,
    LEAST_ALPHA,
    TILE,
    Tiles,
    check_columns,
    check_size,
    columns,
    intersect,
)
from scenekit.kernels.op import below_autograd, once_differentiable, reference_gradients, register

__all__ = ["Raster", "Tiles", "intersect", "rasterize"]

MOST_ALPHA = 0.99
LEAST_TRANSMITTANCE = 1e-4
MOST_CHANNELS = 8


@dataclass(frozen=True)
class Raster:
    """A picture without background.

    Attributes:
        features: sum of weights times features per pixel.
        opacities: sum of weights per pixel.
    """

    features: Float[Tensor, "H W D"]
    opacities: Float[Tensor, "H W"]


def rasterize(rows: Float[Tensor, "N P"], tiles: Tiles, size: tuple[int, int], channels: int = 3) -> Raster:
    """Blend Gaussians into an image of ``size`` (width, height) pixels, with 1 to 8 channels.

    A row is x, y, in pixels, centres at +0.5; xx, xy, yy of the inverse covariance; opacity; then features, of which
    the first ``channels`` are blended. Gradients reach the rows. Raises ValueError for a wrong shape.
    """
    sizes: dict[str, int] = {}
    check_shape("rows", rows, ("N", "P"), sizes)
    if not 1 <= channels <= MOST_CHANNELS:
        raise ValueError(f"channels: wanted 1 to {MOST_CHANNELS}, found {channels}")
    check_columns(sizes["P"], channels)
    check_size(size)
    check_shape("tiles.gaussians", tiles.gaussians, ("I",), {})
    check_shape("tiles.offsets", tiles.offsets, (columns(size[0]) * columns(size[1]) + 1,), {})
    image, opacities, _, _ = RASTERIZE(rows, tiles.gaussians, tiles.offsets, channels, *size)
    return Raster(image, opacities)


def _reference(
    rows: Tensor, gaussians: Tensor, offsets: Tensor, channels: int, width: int, height: int
) -> tuple[Tensor, ...]:
    starts, used = offsets.tolist(), rows[:, : FEATURES + channels]
    bands = []
    for top in range(0, height, TILE):
        band = []
        for left in range(0, width, TILE):
            tile = top // TILE * columns(width) + left // TILE
            seen = used[gaussians[starts[tile] : starts[tile + 1]].long()]
            band.append(_blend_tile(seen, (left, min(left + TILE, width)), (top, min(top + TILE, height))))
        bands.append([torch.cat(parts, 1) for parts in zip(*band, strict=True)])
    image, opacities, transmittances, stops = (torch.cat(parts) for parts in zip(*bands, strict=True))
    return image, opacities, transmittances.detach(), stops


def _blend_tile(splats: Tensor, across: tuple[int, int], down: tuple[int, int]) -> tuple[Tensor, ...]:
    """Features [h w D], opacity and transmittance [h w], how many Gaussians were open to each pixel [h w]."""
    y, x = torch.meshgrid(torch.arange(*down), torch.arange(*across), indexing="ij")
    pixels = (torch.stack([x, y], -1).to(splats) + 0.5).unsqueeze(-2)
    dx, dy = (pixels - splats[:, :2]).unbind(-1)
    a, b, c, opacities = splats[:, 2:FEATURES].unbind(-1)
    sigma = 0.5 * (a * dx * dx + c * dy * dy) + b * dx * dy
    alpha = torch.clamp(opacities * torch.exp(-sigma), max=MOST_ALPHA)
    alpha = torch.where(alpha >= LEAST_ALPHA, alpha, torch.zeros_like(alpha))
    after = torch.cumprod(1 - alpha, -1)
    # Transmittance never rises, so what a closed pixel leaves out is exactly where it would be too low.
    is_open = after >= LEAST_TRANSMITTANCE
    before = torch.cat([torch.ones_like(after[..., :1]), after[..., :-1]], -1)
    weights = torch.where(is_open, alpha * before, torch.zeros_like(alpha))
    # Not 1 - weights.sum(-1): little light is left where much was taken, and gradients begin with it.
    left = torch.where(is_open, 1 - alpha, torch.ones_like(alpha)).prod(-1)
    return weights @ splats[:, FEATURES:], weights.sum(-1), left, is_open.sum(-1).to(torch.int32)


def _cpu(*arguments: Any) -> tuple[Tensor, ...]:
    rows, gaussians, offsets, channels, width, height = arguments
    if not native.serves(rows, gaussians, offsets):
        return _reference(*arguments)
    outputs = _fake(*arguments)
    lists = (gaussians.contiguous(), offsets.contiguous())
    native.call("rasterize", rows.contiguous(), *lists, *rows.shape, channels, width, height, *outputs)
    return outputs


def _fake(rows: Tensor, gaussians: Tensor, offsets: Tensor, channels: int, width: int, height: int) -> Any:
    image, one = rows.new_empty(height, width, channels), rows.new_empty(height, width)
    return image, one, torch.empty_like(one), torch.empty_like(one, dtype=torch.int32)


# The arguments of the backward op: the gradients to the picture and to the opacities, the three tensors of the op, and
# its last two results.


def _backward_reference(*arguments: Any) -> Tensor:
    (height, width, channels), inputs = arguments[0].shape, arguments[2:5]
    return reference_gradients(_reference, (*inputs, channels, width, height), (0,), arguments[:2])[0]


def _backward_cpu(*arguments: Any) -> Tensor:
    if not native.serves(*arguments):
        return _backward_reference(*arguments)
    (height, width, channels), rows = arguments[0].shape, arguments[2]
    result = rows.new_empty(rows.shape)
    dense = [x.contiguous() for x in arguments]
    native.call("rasterize_backward", *dense, *rows.shape, channels, width, height, result)
    return result


class _Rasterize(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *arguments: Any) -> tuple[Tensor, ...]:
        image, opacities, transmittances, stops = below_autograd("rasterize", *arguments)
        ctx.save_for_backward(*arguments[:3], transmittances, stops)
        ctx.mark_non_differentiable(transmittances, stops)
        return image, opacities, transmittances, stops

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, image: Tensor, opacities: Tensor, *_: Tensor | None) -> tuple[Any, ...]:
        found = torch.ops.scenekit.rasterize_backward(image, opacities, *ctx.saved_tensors)
        return found, None, None, None, None, None


RASTERIZE = register(
    "rasterize(Tensor rows, Tensor gaussians, Tensor offsets, int channels, int width, int height)"
    " -> (Tensor, Tensor, Tensor, Tensor)",
    _reference,
    fake=_fake,
    cpu=_cpu,
    cuda=on_gpu.rasterize,
    autograd=_Rasterize,
)
RASTERIZE_BACKWARD = register(
    "rasterize_backward(Tensor image_gradient, Tensor opacity_gradient, Tensor rows, Tensor gaussians,"
    " Tensor offsets, Tensor transmittances, Tensor stops) -> Tensor",
    _backward_reference,
    fake=lambda *arguments: arguments[2].new_empty(arguments[2].shape),
    cpu=_backward_cpu,
    cuda=on_gpu.rasterize_backward,
)
