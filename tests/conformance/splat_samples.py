"""Sample inputs of the operators of splatting, for op_samples.py and the tests of those operators."""

from __future__ import annotations

from typing import Any

import torch
from torch import Generator, Tensor

from scenekit.kernels import intersect
from scenekit.kernels.rasterize import RASTERIZE

SIZE = (37, 21)  # neither a multiple of a tile


def _normal(generator: Generator, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=generator)


def gaussians(generator: Generator, dtype: torch.dtype, rows: int) -> tuple[Any, ...]:
    """Arguments of project: before the camera, behind it, beside the image; any quaternions."""
    angle = torch.tensor(0.3)
    c, s = angle.cos(), angle.sin()
    camera = torch.tensor([[c, 0, s, 0.1], [0, 1, 0, -0.2], [-s, 0, c, 2.5]])
    intrinsics = torch.tensor([33.0, 30.0, 19.0, 10.0])
    means, quaternions = _normal(generator, rows, 3), _normal(generator, rows, 4)
    scales = torch.exp(0.5 * _normal(generator, rows, 3) - 2.5)
    tensors = [x.to(dtype) for x in (means, quaternions, scales, camera, intrinsics)]
    return (*tensors, *SIZE, 0.01, 0.3)


def gaussians_backward(generator: Generator, dtype: torch.dtype, rows: int) -> tuple[Any, ...]:
    """Arguments of the gradient of project."""
    shapes = ((rows, 2), (rows,), (rows, 3), (rows,))
    gradients = [_normal(generator, *shape).to(dtype) for shape in shapes]
    return (*gradients, *gaussians(generator, dtype, rows))


def ellipses(generator: Generator, rows: int, size: tuple[int, int] = SIZE, sigma: float = 3.0) -> tuple[Tensor, ...]:
    """Means, conics and opacities of ellipses of about ``sigma`` pixels, in and around an image."""
    means = (torch.rand(rows, 2, generator=generator) * 1.2 - 0.1) * torch.tensor(size)
    long = sigma**2 * torch.exp(_normal(generator, rows)) + 0.3
    short = long * torch.exp(-_normal(generator, rows).abs()) + 0.3
    angle = 3.14159 * torch.rand(rows, generator=generator)
    c, s = angle.cos(), angle.sin()
    xy = c * s * (1 / long - 1 / short)
    conics = torch.stack([c * c / long + s * s / short, xy, s * s / long + c * c / short], -1)
    return means, conics, torch.sigmoid(_normal(generator, rows))


def tiles(generator: Generator, dtype: torch.dtype, rows: int) -> tuple[Any, ...]:
    """Arguments of intersect; some Gaussians are culled, some too faint."""
    means, conics, opacities = ellipses(generator, rows)
    radii = torch.full((rows, 2), 5, dtype=torch.int32)
    radii[::7] = 0
    opacities[::5] *= 1e-3
    depths = torch.randint(1, 50, (rows,), generator=generator)
    return means.to(dtype), radii, conics.to(dtype), opacities.to(dtype), depths.to(dtype), *SIZE, -1


def picture(generator: Generator, dtype: torch.dtype, rows: int) -> tuple[Any, ...]:
    """Arguments of rasterize, five channels."""
    means, conics, opacities = ellipses(generator, rows)
    features, radii = torch.rand(rows, 5, generator=generator), torch.ones(rows, 2, dtype=torch.int32)
    lists = intersect(means, radii, conics, opacities, torch.rand(rows, generator=generator), SIZE)
    tensors = [x.to(dtype) for x in (means, conics, opacities, features)]
    return (*tensors, lists.gaussians, lists.offsets, *SIZE)


def picture_backward(generator: Generator, dtype: torch.dtype, rows: int) -> tuple[Any, ...]:
    """Arguments of the gradient of rasterize, whose last two are results of the forward pass."""
    arguments = picture(generator, dtype, rows)
    image, transmittances, stops = RASTERIZE(*arguments)
    gradients = [_normal(generator, *x.shape).to(dtype) for x in (image, transmittances)]
    return (*gradients, *arguments[:6], transmittances, stops)
