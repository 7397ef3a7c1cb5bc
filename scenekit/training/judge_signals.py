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
from scenekit.data.signals.distances import FILLED, SampledSurface
from scenekit.data.signals.image import ImageSignal
from scenekit.data.signals.panorama import PanoramaSignal
from scenekit.data.signals.surface import SurfaceSignal
from scenekit.data.signals.volume import VolumeSignal
from scenekit.training.objective import psnr_of

CHUNK = 2**18
SURFACE_POINTS = 2**16
CPU = torch.device("cpu")
PROJECTIONS = 4  # Newton steps from near a learnt surface onto it


@torch.no_grad()
def judge_image(field: PointField, signal: ImageSignal) -> dict[str, Any]:
    """PSNR over every pixel; pictures of bytes are rounded to bytes first."""
    picture = signal.picture
    total = 0.0
    pixels = picture.size[0] * picture.size[1]
    for at in range(0, pixels, CHUNK):
        index = torch.arange(at, min(pixels, at + CHUNK), device=signal.device)
        both = _asked(field, signal.positions(index)), picture.at(index)
        found, wanted = (shown(values, linear=picture.linear) for values in both)
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
    rows = _centres(height, signal.device)
    areas = torch.sin(rows * math.pi).double()
    columns = _centres(width, signal.device)
    for row in range(height):
        place = torch.stack([columns, rows[row].expand(width)], -1)
        found = shown(_asked(field, equirectangular_directions(place) / 2 + 0.5), linear=picture.linear)
        index = torch.arange(row * width, (row + 1) * width, device=signal.device)
        wanted = shown(picture.at(index), linear=picture.linear)
        total += float((found - wanted).double().square().mean() * areas[row])
    mean = total / float(areas.sum())
    return {"psnr": psnr_of(mean), "scope": f"all pixels of {width}x{height}, by area{_tone(picture.linear)}"}


def _tone(linear: bool) -> str:
    return ", linear light clamped to [0, 1] and shown as sRGB" if linear else ", sRGB"


@torch.no_grad()
def judge_surface(field: PointField, signal: SurfaceSignal | SampledSurface) -> dict[str, Any]:
    """Intersection over union of the insides, and the Chamfer distance, in units of the mesh's longest side.

    From the mesh to the learnt surface the distance is |field|, which is exact to first order near it; the other way
    it is the mesh's own distance at points brought onto the learnt surface by Newton steps. Where the mesh is not
    there, only the first of them can be found.
    """
    generator = torch.Generator().manual_seed(1)
    meshed = isinstance(signal, SurfaceSignal)
    judged = signal.judged(generator) if meshed else signal.judged
    if judged is None:
        raise ValueError("judged: wanted points of the surface's box, found none")
    inside, truly = _asked(field, judged.positions)[:, 0] < 0, judged.values[:, 0] < 0
    union = max(1, int((inside | truly).sum()))
    figures: dict[str, Any] = {"iou": int((inside & truly).sum()) / union}
    scope = f"iou: {len(judged.positions)} uniform points in the mesh's box; "
    if not meshed:
        on = signal.pool.positions[signal.pool.values[:, 0] == 0][:SURFACE_POINTS]
        away = float(_asked(field, on).abs().mean()) / FILLED
        scope += f"away: mean of |field| over {len(on)} surface points, in units of the longest side"
        return figures | {"away": away, "scope": scope}
    on = signal.on_surface(SURFACE_POINTS, generator)
    away = _asked(field, on).abs().mean()
    brought = _onto(field, on + 2e-3 * torch.randn(on.shape, generator=generator))
    back = signal.distances(brought).abs().mean()
    scope += f"chamfer: mean of both ways over {SURFACE_POINTS} surface points, in units of the longest side"
    return figures | {"chamfer": float((away + back) / 2) / FILLED, "scope": scope}


def _onto(field: PointField, start: Float[Tensor, "S 3"]) -> Float[Tensor, "S 3"]:
    points = start.to(_device_of(field))
    for _ in range(PROJECTIONS):
        with torch.enable_grad():
            leaf = points.clone().requires_grad_()
            values = field(leaf)[:, 0]
            (gradient,) = torch.autograd.grad(values.sum(), leaf)
        squared = gradient.square().sum(-1).clamp(min=0.25)
        points = (points - (values.detach() / squared)[:, None] * gradient).clamp(0, 1)
    return points.to(start.device)


@torch.no_grad()
def judge_volume(field: PointField, signal: VolumeSignal) -> dict[str, Any]:
    """PSNR of density and colour at every voxel's centre, density in units of the largest."""
    x, y, z = signal.facts.size
    total = 0.0
    v, u = torch.meshgrid(_centres(y, signal.device), _centres(x, signal.device), indexing="ij")
    for layer in range(z):
        w = torch.full_like(u, (layer + 0.5) / z)
        found = _asked(field, torch.stack([u, v, w], -1).reshape(-1, 3)).clamp(0, 1)
        total += float((found - signal.voxels[layer].reshape(-1, 4)).double().square().mean())
    return {"psnr": psnr_of(total / z), "scope": f"density and colour of all {x * y * z} voxels"}


def _centres(count: int, device: torch.device) -> Float[Tensor, " count"]:
    return (torch.arange(count, device=device) + 0.5) / count


def _asked(field: PointField, points: Float[Tensor, "S D"]) -> Float[Tensor, "S C"]:
    """Where the points are, wherever the field is."""
    device = _device_of(field)
    chunks = (points[at : at + CHUNK].to(device) for at in range(0, len(points), CHUNK))
    return torch.cat([field(chunk) for chunk in chunks]).to(points.device)


def _device_of(field: PointField) -> torch.device:
    return next((p.device for group in field.parameter_groups() for p in group.parameters.values()), CPU)
