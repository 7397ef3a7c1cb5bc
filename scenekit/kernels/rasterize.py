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

from scenekit.core.checks import check_same_kind, check_shape
from scenekit.kernels import native
from scenekit.kernels.gpu import rasterize as on_gpu
from scenekit.kernels.intersect import LEAST_ALPHA, TILE, Tiles, check_size, columns, intersect
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


def rasterize(
    means2d: Float[Tensor, "N 2"],
    conics: Float[Tensor, "N 3"],
    opacities: Float[Tensor, "N"],
    features: Float[Tensor, "N D"],
    tiles: Tiles,
    size: tuple[int, int],
) -> Raster:
    """Blend Gaussians into an image of ``size`` (width, height) pixels; D is 1 to 8.

    Positions are in pixels, centres at +0.5; ``conics`` holds xx, xy, yy of the inverse covariance. Gradients
    reach the four tensors. Raises ValueError for a wrong shape, TypeError for dtypes that differ.
    """
    sizes: dict[str, int] = {}
    check_shape("means2d", means2d, ("N", 2), sizes)
    check_shape("conics", conics, ("N", 3), sizes)
    check_shape("opacities", opacities, ("N",), sizes)
    check_shape("features", features, ("N", "D"), sizes)
    check_same_kind("means2d", means2d, conics=conics, opacities=opacities, features=features)
    if not 1 <= sizes["D"] <= MOST_CHANNELS:
        raise ValueError(f"features: wanted 1 to {MOST_CHANNELS} channels, found {sizes['D']}")
    check_size(size)
    check_shape("tiles.gaussians", tiles.gaussians, ("I",), {})
    check_shape("tiles.offsets", tiles.offsets, (columns(size[0]) * columns(size[1]) + 1,), {})
    image, transmittances, _ = RASTERIZE(means2d, conics, opacities, features, tiles.gaussians, tiles.offsets, *size)
    return Raster(image, 1 - transmittances)


def _reference(*arguments: Any) -> tuple[Tensor, Tensor, Tensor]:
    means2d, conics, opacities, features, gaussians, offsets, width, height = arguments
    starts = offsets.tolist()
    rows = []
    for top in range(0, height, TILE):
        row = []
        for left in range(0, width, TILE):
            tile = top // TILE * columns(width) + left // TILE
            seen = gaussians[starts[tile] : starts[tile + 1]].long()
            splats = (means2d[seen], conics[seen], opacities[seen], features[seen])
            row.append(_blend_tile(*splats, (left, min(left + TILE, width)), (top, min(top + TILE, height))))
        rows.append([torch.cat(parts, 1) for parts in zip(*row, strict=True)])
    image, transmittances, stops = (torch.cat(parts) for parts in zip(*rows, strict=True))
    return image, transmittances, stops


def _blend_tile(
    means2d: Tensor,
    conics: Tensor,
    opacities: Tensor,
    features: Tensor,
    columns: tuple[int, int],
    rows: tuple[int, int],
) -> tuple[Tensor, Tensor, Tensor]:
    """Features [h w D], transmittance [h w] and how many Gaussians were open to each pixel [h w]."""
    y, x = torch.meshgrid(torch.arange(*rows), torch.arange(*columns), indexing="ij")
    pixels = (torch.stack([x, y], -1).to(means2d) + 0.5).unsqueeze(-2)
    dx, dy = (pixels - means2d).unbind(-1)
    a, b, c = conics.unbind(-1)
    sigma = 0.5 * (a * dx * dx + c * dy * dy) + b * dx * dy
    alpha = torch.clamp(opacities * torch.exp(-sigma), max=MOST_ALPHA)
    alpha = torch.where(alpha >= LEAST_ALPHA, alpha, torch.zeros_like(alpha))
    after = torch.cumprod(1 - alpha, -1)
    # Transmittance never rises, so what a closed pixel leaves out is exactly where it would be too low.
    is_open = after >= LEAST_TRANSMITTANCE
    before = torch.cat([torch.ones_like(after[..., :1]), after[..., :-1]], -1)
    weights = torch.where(is_open, alpha * before, torch.zeros_like(alpha))
    return weights @ features, 1 - weights.sum(-1), is_open.sum(-1).to(torch.int32)


def _cpu(*arguments: Any) -> tuple[Tensor, Tensor, Tensor]:
    tensors, (width, height) = arguments[:6], arguments[6:]
    if not native.serves(*tensors):
        return _reference(*arguments)
    outputs = _fake(*arguments)
    native.call("rasterize", *_dense(tensors), *tensors[3].shape, width, height, *outputs)
    return outputs


def _fake(*arguments: Any) -> tuple[Tensor, Tensor, Tensor]:
    features, width, height = arguments[3], arguments[6], arguments[7]
    image = features.new_empty(height, width, features.shape[1])
    return image, features.new_empty(height, width), features.new_empty(height, width, dtype=torch.int32)


# The arguments of the backward op: the gradients to the picture and to the transmittances, the six tensors
# of the op, and its last two results.


def _backward_reference(*arguments: Any) -> tuple[Tensor, ...]:
    height, width = arguments[9].shape
    inputs = (*arguments[2:8], width, height)
    return tuple(reference_gradients(_reference, inputs, (0, 1, 2, 3), arguments[:2]))


def _backward_cpu(*arguments: Any) -> tuple[Tensor, ...]:
    if not native.serves(*arguments):
        return _backward_reference(*arguments)
    height, width = arguments[9].shape
    outputs = _backward_fake(*arguments)
    native.call("rasterize_backward", *_dense(arguments), *arguments[5].shape, width, height, *outputs)
    return outputs


def _backward_fake(*arguments: Any) -> tuple[Tensor, ...]:
    return tuple(x.new_empty(x.shape) for x in arguments[2:6])


def _dense(tensors: tuple[Tensor, ...]) -> list[Tensor]:
    return [x.contiguous() for x in tensors]


class _Rasterize(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *arguments: Any) -> tuple[Tensor, Tensor, Tensor]:
        image, transmittances, stops = below_autograd("rasterize", *arguments)
        ctx.save_for_backward(*arguments[:6], transmittances, stops)
        ctx.mark_non_differentiable(stops)
        return image, transmittances, stops

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, image: Tensor, transmittances: Tensor, stops: Tensor | None) -> tuple[Any, ...]:
        found = torch.ops.scenekit.rasterize_backward(image, transmittances, *ctx.saved_tensors)
        wanted = zip(found, ctx.needs_input_grad[:4], strict=True)
        return (*(g if needed else None for g, needed in wanted), None, None, None, None)


RASTERIZE = register(
    "rasterize(Tensor means2d, Tensor conics, Tensor opacities, Tensor features, Tensor gaussians,"
    " Tensor offsets, int width, int height) -> (Tensor, Tensor, Tensor)",
    _reference,
    fake=_fake,
    cpu=_cpu,
    cuda=on_gpu.rasterize,
    autograd=_Rasterize,
)
RASTERIZE_BACKWARD = register(
    "rasterize_backward(Tensor image_gradient, Tensor transmittance_gradient, Tensor means2d, Tensor conics,"
    " Tensor opacities, Tensor features, Tensor gaussians, Tensor offsets, Tensor transmittances,"
    " Tensor stops) -> (Tensor, Tensor, Tensor, Tensor)",
    _backward_reference,
    fake=_backward_fake,
    cpu=_backward_cpu,
    cuda=on_gpu.rasterize_backward,
)
