"""Photographs of analytic shapes: sun, sky light, shadows, highlights; supersampled, with exact depth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from scenekit.core.cameras import Cameras, Pixels
from scenekit.core.tone import srgb_from_linear
from scenekit.data.shapes import NEAREST, Shape, dot
from scenekit.kernels.rays import rays_of

SUN = torch.nn.functional.normalize(torch.tensor([0.45, -0.35, 0.82], dtype=torch.float64), dim=0)
SUN_LIGHT, SKY_LIGHT, GROUND_LIGHT = (1.02, 0.93, 0.80), (0.34, 0.40, 0.50), (0.20, 0.17, 0.14)
SHININESS = 24.0
# Rays traced at a time: the arrays of a band stay in the cache.
BAND_RAYS = 30_000


@dataclass(frozen=True)
class Picture:
    """One view: straight-alpha sRGB in [0, 1], depth along z and position of what each pixel centre sees.

    Depth is 0, and the position not a number, where nothing is seen.
    """

    rgba: Float[Tensor, "H W 4"]
    depth: Float[Tensor, "H W"]
    positions: Float[Tensor, "H W 3"]


def photograph(shapes: Sequence[Shape], camera: Cameras, samples: int) -> Picture:
    """Render one float64 camera with ``samples`` x ``samples`` rays in each pixel, an odd number."""
    width, height = camera.sizes[0]
    rows = max(1, BAND_RAYS // (width * samples * samples))
    bands = [_band(shapes, camera, samples, range(top, min(top + rows, height))) for top in range(0, height, rows)]
    return Picture(
        torch.cat([band.rgba for band in bands]),
        torch.cat([band.depth for band in bands]),
        torch.cat([band.positions for band in bands]),
    )


def _band(shapes: Sequence[Shape], camera: Cameras, samples: int, rows: range) -> Picture:
    """Some rows of a picture."""
    width, height = camera.sizes[0]
    fine = camera.resized([(width * samples, height * samples)])
    v, u = torch.meshgrid(
        torch.arange(rows.start * samples, rows.stop * samples, dtype=torch.float64) + 0.5,
        torch.arange(width * samples, dtype=torch.float64) + 0.5,
        indexing="ij",
    )
    positions = torch.stack([u, v], -1).reshape(-1, 2)
    rays = rays_of(fine, Pixels(torch.zeros(len(positions), dtype=torch.int64), positions))
    distances, owners = first_hit(shapes, rays.origins, rays.directions)
    points = rays.origins + distances[:, None] * rays.directions
    color = shade(shapes, points, rays.directions, owners)
    seen = owners >= 0
    premultiplied = torch.cat([color, seen.double()[:, None]], -1)
    rgba = premultiplied.view(len(rows), samples, width, samples, 4).mean((1, 3))
    rgba[..., :3] /= rgba[..., 3:].clamp(min=1e-12)
    centre = slice(samples // 2, None, samples)
    depth = torch.where(seen, distances * rays.z_per_distance, 0.0).view(len(rows) * samples, -1)
    points = torch.where(seen[:, None], points, torch.nan).view(len(rows) * samples, -1, 3)
    return Picture(rgba, depth[centre, centre].contiguous(), points[centre, centre].contiguous())


def first_hit(shapes: Sequence[Shape], origins: Tensor, directions: Tensor) -> tuple[Tensor, Tensor]:
    """Distance to the nearest shape along each unit ray, and its index; infinite and -1 for a miss."""
    distances = torch.full_like(origins[:, 0], torch.inf)
    owners = torch.full_like(distances, -1, dtype=torch.int64)
    for index, shape in enumerate(shapes):
        offset = origins - origins.new_tensor(shape.centre)
        along = dot(offset, directions)
        close = dot(offset, offset) - along.square() <= shape.radius**2
        rows = close.nonzero().squeeze(-1)
        if not len(rows):
            continue
        turn = shape.own_from_world
        found = shape.hit(offset[rows] @ turn.T, directions[rows] @ turn.T)
        nearer = found < distances[rows]
        chosen = rows[nearer]
        distances[chosen] = found[nearer]
        owners[chosen] = index
    return distances, owners


def shade(shapes: Sequence[Shape], points: Tensor, directions: Tensor, owners: Tensor) -> Float[Tensor, "R 3"]:
    """sRGB of surface points seen along ``directions``; black where ``owners`` is -1."""
    color = torch.zeros_like(points)
    for index, shape in enumerate(shapes):
        rows = (owners == index).nonzero().squeeze(-1)
        if not len(rows):
            continue
        local = shape.local(points[rows])
        albedo = shape.texture(local)
        if not shape.emits:
            normals = shape.normal(local) @ shape.own_from_world
            albedo = _lit(shapes, index, points[rows], normals, directions[rows], albedo)
        color[rows] = albedo
    return _srgb(color)


def _lit(
    shapes: Sequence[Shape], owner: int, points: Tensor, normals: Tensor, directions: Tensor, albedo: Tensor
) -> Tensor:
    """Lambert under the sun with shadows, sky light dimmed near other shapes, Blinn's highlight."""
    solid = [shape for shape in shapes if not shape.emits]
    start = points + 10 * NEAREST * normals
    facing = (normals @ SUN).clamp(min=0)
    rows = (facing > 0).nonzero().squeeze(-1)
    towards_sun = SUN.expand(len(rows), 3).contiguous()
    sun = torch.zeros_like(facing)
    sun[rows] = facing[rows] * first_hit(solid, start[rows], towards_sun)[0].isinf()
    sky = 0.5 + 0.5 * normals[:, 2:]
    ambient = sky * points.new_tensor(SKY_LIGHT) + (1 - sky) * points.new_tensor(GROUND_LIGHT)
    ambient = ambient * _openness(shapes, owner, points, normals)[:, None]
    half = torch.nn.functional.normalize(SUN - directions, dim=-1)
    highlight = shapes[owner].gloss * sun.clamp(max=1) * dot(normals, half).clamp(min=0) ** SHININESS
    return albedo * (ambient + sun[:, None] * points.new_tensor(SUN_LIGHT)) + highlight[:, None]


def _openness(shapes: Sequence[Shape], owner: int, points: Tensor, normals: Tensor) -> Tensor:
    """How much of the sky other shapes leave: each taken as a sphere of nearly its own size."""
    open_ = torch.ones_like(points[:, 0])
    for index, shape in enumerate(shapes):
        if index == owner or shape.emits or shape.radius > 1.0:
            continue
        towards = points.new_tensor(shape.centre) - points
        distance = towards.norm(dim=-1)
        radius = 0.8 * shape.radius
        cover = dot(normals, towards) / distance * (radius / distance.clamp(min=radius)).square()
        open_ = open_ * (1 - cover.clamp(0, 0.9))
    return open_


def _srgb(linear: Tensor) -> Tensor:
    """Soft-clipped linear light to sRGB: highlights roll off instead of burning out."""
    value = torch.where(linear > 0.7, 0.7 + 0.3 * (1 - torch.exp(-(linear - 0.7) / 0.3)), linear)
    return srgb_from_linear(value)
