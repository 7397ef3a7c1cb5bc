"""Sample inputs of the operators of splatting, for op_samples.py and the tests of those operators."""

from __future__ import annotations

from typing import Any

import torch
from torch import Generator, Tensor

from scenekit.kernels import intersect
from scenekit.kernels.intersect import FEATURES, LEAST_ALPHA
from scenekit.kernels.project import PROJECT
from scenekit.kernels.rasterize import LEAST_TRANSMITTANCE, MOST_ALPHA, RASTERIZE

SIZE = (37, 21)  # neither a multiple of a tile
MARGIN = 3e-4  # relative: how far the thresholds of blending are from every pixel's alphas and transmittances


def _normal(generator: Generator, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=generator)


def gaussians(generator: Generator, dtype: torch.dtype, rows: int) -> tuple[Any, ...]:
    """Arguments of project: before the camera, behind it, beside the image; any quaternions, dark colours too.

    More coefficients are stored than degree 2 uses.
    """
    angle = torch.tensor(0.3)
    c, s = angle.cos(), angle.sin()
    turn = torch.tensor([[c, 0, -s], [0, 1, 0], [s, 0, c]])
    pose = torch.cat([turn, turn @ torch.tensor([[-0.1], [0.2], [-2.5]])], 1)
    intrinsics = torch.tensor([33.0, 30.0, 19.0, 10.0])
    means, quaternions = _normal(generator, rows, 3), _normal(generator, rows, 4)
    scales = torch.exp(0.5 * _normal(generator, rows, 3) - 2.5)
    opacities, rest = torch.sigmoid(_normal(generator, rows)), 0.3 * _normal(generator, rows, 15, 3)
    inputs = [means, quaternions, scales, opacities, _normal(generator, rows, 1, 3), rest, pose, intrinsics]
    settings = (*SIZE, 0.01, 0.3, 2, True)
    inputs[4] = _away_from_black(inputs, settings)
    return (*(x.to(dtype) for x in inputs), *settings)


def _away_from_black(inputs: list[Tensor], settings: tuple[Any, ...]) -> Tensor:
    """The constant coefficients, brighter where a colour would hardly be more or less than the least one."""
    brightness, constant = 10.0, inputs[4].double()
    brighter = [x.double() for x in inputs]
    brighter[4] = constant + brightness
    colors = PROJECT.reference(*brighter, *settings)[0][:, 6:9] - 0.28209479 * brightness
    return (constant + 0.2 * (colors.abs() < 0.02)[:, None]).to(inputs[4])


def gaussians_backward(generator: Generator, dtype: torch.dtype, rows: int) -> tuple[Any, ...]:
    """Arguments of the gradient of project; some rows have none."""
    gradient = _normal(generator, rows, 12)
    gradient[::6] = 0
    return (gradient.to(dtype), *gaussians(generator, dtype, rows), [True, True])


def ellipses(
    generator: Generator, rows: int, size: tuple[int, int] = SIZE, sigma: float = 3.0, channels: int = 3
) -> Tensor:
    """Rows of ellipses of about ``sigma`` pixels, in and around an image."""
    means = (torch.rand(rows, 2, generator=generator) * 1.2 - 0.1) * torch.tensor(size)
    long = sigma**2 * torch.exp(_normal(generator, rows)) + 0.3
    short = long * torch.exp(-_normal(generator, rows).abs()) + 0.3
    angle = 3.14159 * torch.rand(rows, generator=generator)
    c, s = angle.cos(), angle.sin()
    xy = c * s * (1 / long - 1 / short)
    conics = torch.stack([c * c / long + s * s / short, xy, s * s / long + c * c / short], -1)
    opacities = torch.sigmoid(_normal(generator, rows))[:, None]
    return torch.cat([means, conics, opacities, torch.rand(rows, channels, generator=generator)], 1)


def settled(rows: Tensor, depths: Tensor, size: tuple[int, int]) -> Tensor:
    """The same rows, fainter where an alpha or a transmittance would be near one of blending's thresholds.

    Which side of it they are on then hangs on no rounding, whoever computes them.
    """
    order = torch.sort(depths, stable=True).indices
    y, x = torch.meshgrid(torch.arange(size[1]) + 0.5, torch.arange(size[0]) + 0.5, indexing="ij")
    rows = rows.clone()
    for _ in range(200):
        parts = rows[order].double()[:, :FEATURES, None, None].unbind(1)
        dx, dy = x - parts[0], y - parts[1]
        raw = parts[5] * torch.exp(-0.5 * (parts[2] * dx * dx + parts[4] * dy * dy) - parts[3] * dx * dy)
        alphas = torch.where(raw >= LEAST_ALPHA, raw.clamp(max=MOST_ALPHA), 0)
        left = (1 - alphas).cumprod(0)
        near = ((raw / LEAST_ALPHA).log().abs() < MARGIN) | ((raw / MOST_ALPHA).log().abs() < MARGIN)
        near |= (alphas > 0) & ((left / LEAST_TRANSMITTANCE).log().abs() < MARGIN)
        unsettled = near.flatten(1).any(1)
        if not unsettled.any():
            return rows
        rows[order[unsettled], 5] *= 0.97
    raise AssertionError("no opacities found that are away from all thresholds")


def tiles(generator: Generator, dtype: torch.dtype, rows: int) -> tuple[Any, ...]:
    """Arguments of intersect; some Gaussians are culled, some too faint."""
    splats = ellipses(generator, rows)
    splats[::5, 5] *= 1e-3
    splats[::7] = 0
    depths = torch.randint(1, 50, (rows,), generator=generator)
    return splats.to(dtype), depths.to(dtype), *SIZE, -1, torch.randperm(rows, generator=generator)


def picture(generator: Generator, dtype: torch.dtype, rows: int) -> tuple[Any, ...]:
    """Arguments of rasterize: five channels of six features."""
    depths = torch.rand(rows, generator=generator)
    splats = settled(ellipses(generator, rows, channels=6), depths, SIZE)
    lists = intersect(splats, depths, SIZE)
    return splats.to(dtype), lists.gaussians, lists.offsets, 5, *SIZE


def picture_backward(generator: Generator, dtype: torch.dtype, rows: int) -> tuple[Any, ...]:
    """Arguments of the gradient of rasterize, whose last two are results of the forward pass."""
    arguments = picture(generator, dtype, rows)
    image, opacities, transmittances, stops = RASTERIZE(*arguments)
    gradients = [_normal(generator, *x.shape).to(dtype) for x in (image, opacities)]
    return (*gradients, *arguments[:3], transmittances, stops)
