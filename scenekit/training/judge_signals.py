"""How good a field of a signal is: figures by name, each with what it is measured over."""

from __future__ import annotations

import math
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from scenekit.core.point_fields import PointField
from scenekit.core.sphere import equirectangular_directions
from scenekit.core.tone import shown
from scenekit.data.signals.image import ImageSignal
from scenekit.data.signals.panorama import PanoramaSignal
from scenekit.data.signals.surface import SurfaceSignal
from scenekit.data.signals.volume import VolumeSignal
from scenekit.training.objective import psnr_of

CHUNK = 2**18
SURFACE_POINTS = 2**16
PROJECTIONS = 4  # Newton steps from near a learnt surface onto it


@torch.no_grad()
def judge_image(field: PointField, signal: ImageSignal) -> dict[str, Any]:
    """PSNR over every pixel; pictures of bytes are rounded to bytes first."""
    picture = signal.picture
    total = 0.0
    pixels = picture.size[0] * picture.size[1]
    for at in range(0, pixels, CHUNK):
        index = torch.arange(at, min(pixels, at + CHUNK))
        found, wanted = (
            shown(values, linear=picture.linear) for values in (field(signal.positions(index)), picture.at(index))
        )
        if picture.pixels.dtype == torch.uint8:
            found = (found * 255).round() / 255
        total += float((found - wanted).double().square().sum())
    mean = total / (pixels * picture.channels)
    return {"psnr": psnr_of(mean), "scope": f"all {pixels} pixels{_tone(picture.linear)}"}


@torch.no_grad()
def judge_panorama(field: PointField, signal: PanoramaSignal) -> dict[str, Any]:
    """PSNR over every pixel, each weighted by the area it has on the sphere (cosine of its latitude)."""
    picture = signal.picture
    width, height = picture.size
    total = 0.0
    rows = (torch.arange(height) + 0.5) / height
    areas = torch.sin(rows * math.pi).double()
    columns = (torch.arange(width) + 0.5) / width
    for row in range(height):
        place = torch.stack([columns, rows[row].expand(width)], -1)
        found = shown(field(equirectangular_directions(place) / 2 + 0.5), linear=picture.linear)
        wanted = shown(picture.at(torch.arange(row * width, (row + 1) * width)), linear=picture.linear)
        total += float((found - wanted).double().square().mean() * areas[row])
    mean = total / float(areas.sum())
    return {"psnr": psnr_of(mean), "scope": f"all pixels of {width}x{height}, by area{_tone(picture.linear)}"}


def _tone(linear: bool) -> str:
    return ", linear light clamped to [0, 1] and shown as sRGB" if linear else ", sRGB"


@torch.no_grad()
def judge_surface(field: PointField, signal: SurfaceSignal) -> dict[str, Any]:
    """Intersection over union of the insides, and the Chamfer distance, in units of the mesh's longest side.

    From the mesh to the learnt surface the distance is |field|, which is exact to first order near it; the other way
    it is the mesh's own distance at points brought onto the learnt surface by Newton steps.
    """
    from scenekit.data.signals.surface import FILLED

    generator = torch.Generator().manual_seed(1)
    low, high = signal.vertices.amin(0), signal.vertices.amax(0)
    points = low + (high - low) * torch.rand(SURFACE_POINTS, 3, generator=generator)
    inside, truly = _asked(field, points)[:, 0] < 0, signal.distances(points)[:, 0] < 0
    union = max(1, int((inside | truly).sum()))
    on = signal.on_surface(SURFACE_POINTS, generator)
    away = _asked(field, on).abs().mean()
    brought = _onto(field, on + 2e-3 * torch.randn(on.shape, generator=generator))
    back = signal.distances(brought).abs().mean()
    return {
        "iou": int((inside & truly).sum()) / union,
        "chamfer": float((away + back) / 2) / FILLED,
        "scope": f"iou: {SURFACE_POINTS} uniform points in the mesh's box; chamfer: mean of both ways over "
        f"{SURFACE_POINTS} surface points, in units of the longest side",
    }


def _onto(field: PointField, points: Float[Tensor, "S 3"]) -> Float[Tensor, "S 3"]:
    for _ in range(PROJECTIONS):
        with torch.enable_grad():
            leaf = points.clone().requires_grad_()
            values = field(leaf)[:, 0]
            (gradient,) = torch.autograd.grad(values.sum(), leaf)
        squared = gradient.square().sum(-1).clamp(min=0.25)
        points = (points - (values.detach() / squared)[:, None] * gradient).clamp(0, 1)
    return points


@torch.no_grad()
def judge_volume(field: PointField, signal: VolumeSignal) -> dict[str, Any]:
    """PSNR of density and colour at every voxel's centre, density in units of the largest."""
    x, y, z = signal.facts.size
    total = 0.0
    v, u = torch.meshgrid((torch.arange(y) + 0.5) / y, (torch.arange(x) + 0.5) / x, indexing="ij")
    for layer in range(z):
        w = torch.full_like(u, (layer + 0.5) / z)
        found = field(torch.stack([u, v, w], -1).reshape(-1, 3)).clamp(0, 1)
        total += float((found - signal.voxels[layer].reshape(-1, 4)).double().square().mean())
    return {"psnr": psnr_of(total / z), "scope": f"density and colour of all {x * y * z} voxels"}


def _asked(field: PointField, points: Float[Tensor, "S D"]) -> Float[Tensor, "S C"]:
    return torch.cat([field(points[at : at + CHUNK]) for at in range(0, len(points), CHUNK)])
