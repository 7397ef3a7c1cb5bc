"""An exact capture that needs no download: textured shapes on a table, photographed analytically.

Every image is right to its last bit, with alpha, depth and surface points: what a reconstruction loses,
it lost itself. The unbounded variant stands the same still life in a landscape that reaches to a painted sky.
"""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from scenekit.core.cameras import Cameras, look_at
from scenekit.core.cloud import PointCloud
from scenekit.core.lenses import Lens
from scenekit.data.capture import Capture
from scenekit.data.placement import ngp_placement, unbounded_placement
from scenekit.data.shading import Picture, photograph
from scenekit.data.shapes import Shape, ball, box, dome, drum, mix, ring, soft_step
from scenekit.data.split import HELD_OUT_EVERY
from scenekit.data.threads import one_thread

SAMPLES = 3  # rays along each side of a pixel; odd, so that the middle one gives the depth of the pixel centre
FIELD_OF_VIEW = math.radians(38)
DISTANCE = 3.6
TARGET = (0.0, 0.0, -0.2)
POINTS = 6000
RING = 0.30


def make(
    views: int = 24,
    size: tuple[int, int] = (128, 128),
    *,
    seed: int = 0,
    unbounded: bool = False,
    points: int = POINTS,
    lens: Lens | None = None,
) -> Capture:
    """Photograph the still life from ``views`` places on a hemisphere; every 8th view is held out.

    Through a ``lens``, the middle of the image has the scale that a pinhole gives it.

    ``size`` is (width, height); ``seed`` chooses the places and which surface points are kept. The same
    arguments give the same bits.
    """
    generator = torch.Generator().manual_seed(seed)
    shapes = landscape() if unbounded else still_life()
    cameras = hemisphere(views, size, turn=float(torch.rand((), generator=generator)))
    cameras = cameras if lens is None else replace(cameras, lenses=(lens,) * views, intrinsics=_through(lens, cameras))
    with one_thread():
        pictures = [photograph(shapes, cameras[i], SAMPLES) for i in range(views)]
    images = tuple(_image(picture, opaque=unbounded) for picture in pictures)
    test = tuple(range(0, views, HELD_OUT_EVERY))
    train = tuple(i for i in range(views) if i not in test)
    cloud = _surface_points([pictures[i] for i in train], points, generator)
    place = unbounded_placement(cameras, cloud) if unbounded else ngp_placement()
    return Capture(
        name="synthetic-unbounded" if unbounded else "synthetic",
        format="synthetic",
        root=None,
        cameras=cameras,
        images=images,
        names=tuple(f"view_{i:03d}" for i in range(views)),
        train=train,
        test=test,
        points=cloud,
        scene_from_world=place[0],
        bounds=place[1],
        background=None if unbounded else (1.0, 1.0, 1.0),
        depths=tuple(picture.depth for picture in pictures),
    )


def _through(lens: Lens, cameras: Cameras) -> Float[Tensor, "C 4"]:
    """Intrinsics under which the still life is as large as through the pinholes."""
    intrinsics = cameras.intrinsics.clone()
    if lens.kind == "orthographic":
        intrinsics[:, :2] /= DISTANCE
    if lens.kind == "equirectangular":
        width, height = cameras.sizes[0]
        intrinsics[:] = intrinsics.new_tensor([width / (2 * math.pi), height / math.pi, width / 2, height / 2])
    return intrinsics


def hemisphere(views: int, size: tuple[int, int], turn: float = 0.0) -> Cameras:
    """Cameras on a hemisphere about the still life, even for any number of views (an R2 sequence)."""
    target = torch.tensor(TARGET, dtype=torch.float64)
    up = torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64)
    poses = []
    for i in range(views):
        azimuth = 2 * math.pi * ((turn + i * 0.7548776662466927) % 1)
        rise = 0.22 + 0.64 * ((0.5 + i * 0.5698402909980532) % 1)
        flat = math.sqrt(1 - rise * rise)
        outward = torch.tensor([flat * math.cos(azimuth), flat * math.sin(azimuth), rise], dtype=torch.float64)
        poses.append(look_at(target + DISTANCE * outward, target, up))
    focal = 0.5 * min(size) / math.tan(FIELD_OF_VIEW / 2)
    intrinsics = torch.tensor([focal, focal, size[0] / 2, size[1] / 2], dtype=torch.float64)
    return Cameras(
        torch.stack(poses), intrinsics.expand(views, 4).clone(), (size,) * views, view_ids=torch.arange(views)
    )


def still_life() -> list[Shape]:
    """A marbled ball, a brick of tiles, a striped ring and two small balls on a round wooden table."""
    return [
        drum(1.12, 0.07, _table, (0.0, 0.0, -0.47), gloss=0.06),
        ball(0.36, _marble, (-0.36, 0.28, -0.04), gloss=0.55),
        box((0.25, 0.25, 0.30), _tiles, (0.42, 0.34, -0.10), gloss=0.08, turn=0.5),
        ring(RING, 0.1, _stripes, (0.36, -0.42, RING + 0.1 - 0.4), gloss=0.35),
        ball(0.17, _dots, (-0.30, -0.40, -0.23), gloss=0.45),
        ball(0.10, _plain((0.85, 0.50, 0.08)), (-0.02, -0.70, -0.30), gloss=0.8),
        drum(0.13, 0.19, _bands, (-0.74, -0.22, -0.21), gloss=0.25),
    ]


def landscape() -> list[Shape]:
    """The still life in the open: paving to the horizon, a circle of columns, boulders, a painted sky."""
    columns = [
        drum(0.35, 1.3, _bands, (4.5 * math.cos(a), 4.5 * math.sin(a), 0.5), gloss=0.1)
        for a in (2 * math.pi * (k + 0.3) / 7 for k in range(7))
    ]
    boulders = [
        ball(1.6, _marble_of(0.7), (r * math.cos(a), r * math.sin(a), 0.2))
        for r, a in ((9.0, 0.4), (11.0, 2.3), (8.5, 3.9), (13.0, 5.2))
    ]
    ground = drum(60.0, 0.5, _paving, (0.0, 0.0, -1.3))
    return [*still_life(), *columns, *boulders, ground, dome(80.0, _sky)]


def _table(p: Tensor) -> Tensor:
    """Wooden chequers inside, a dark rim outside."""
    radius = p[:, :2].norm(dim=-1)
    squares = torch.sin(p[:, 0] * 2 * math.pi / 0.36) * torch.sin(p[:, 1] * 2 * math.pi / 0.36)
    grain = 0.5 + 0.5 * torch.sin(60 * p[:, 1] + 3 * torch.sin(5 * p[:, 0]) + 9 * p[:, 0])
    wood = mix((0.50, 0.30, 0.14), (0.82, 0.66, 0.42), soft_step(squares, 0.12)) * (0.82 + 0.18 * grain)[:, None]
    rim = mix((0.16, 0.07, 0.035), (0.25, 0.12, 0.06), grain)
    return torch.lerp(wood, rim, soft_step(radius - 0.98, 0.02)[:, None])


def _marble_of(scale: float):
    def texture(p: Tensor) -> Tensor:
        x, y, z = (p / scale).unbind(-1)
        warp = torch.sin(7 * x + 2 * torch.sin(5 * y)) + torch.sin(6 * y + 2 * torch.sin(6 * z)) + torch.sin(9 * z)
        vein = (1 - torch.sin(4 * x + 3 * z + 1.4 * warp).abs()) ** 4
        return mix((0.10, 0.30, 0.42), (0.88, 0.90, 0.84), vein) * (0.85 + 0.15 * torch.sin(3 * warp))[:, None]

    return texture


_marble = _marble_of(1.0)


def _tiles(p: Tensor) -> Tensor:
    """Bricks that go round the corners, with pale joints."""
    along = torch.where(p[:, 0].abs() > 0.2499, p[:, 1], p[:, 0])
    rise = torch.where(p[:, 2].abs() > 0.2999, p[:, 1], p[:, 2])
    row = torch.floor(rise / 0.1)
    column = along / 0.167 + 0.5 * (row % 2)
    joint = torch.minimum((rise / 0.1 - row - 0.5).abs().mul(-1).add(0.5), (column % 1 - 0.5).abs().mul(-1).add(0.5))
    tint = 0.5 + 0.5 * torch.sin(12.9 * torch.floor(column) + 7.7 * row)
    return torch.lerp(
        torch.full_like(p, 0.72),
        mix((0.42, 0.10, 0.06), (0.72, 0.26, 0.12), tint),
        soft_step(joint - 0.08, 0.05)[:, None],
    )


def _stripes(p: Tensor) -> Tensor:
    """A barber's pole bent into a ring."""
    around = torch.atan2(p[:, 2], p[:, 1])
    twist = torch.atan2(p[:, 0], p[:, 1:].norm(dim=-1) - RING)
    return mix((0.86, 0.84, 0.78), (0.10, 0.36, 0.20), soft_step(torch.sin(9 * around + twist), 0.5))


def _dots(p: Tensor) -> Tensor:
    """Dots on a ball, between meridians and parallels."""
    longitude, latitude = torch.atan2(p[:, 1], p[:, 0]), torch.asin((p[:, 2] / 0.17).clamp(-1, 1))
    bumps = torch.cos(6 * longitude) * torch.cos(6 * latitude)
    return mix((0.82, 0.20, 0.16), (0.95, 0.90, 0.80), soft_step(bumps - 0.45, 0.25))


def _bands(p: Tensor) -> Tensor:
    """Rings of colour with a zigzag."""
    around = torch.atan2(p[:, 1], p[:, 0])
    wave = torch.sin(34 * p[:, 2] + 0.8 * torch.sin(8 * around))
    return mix((0.16, 0.14, 0.34), (0.86, 0.66, 0.30), soft_step(wave, 0.5))


def _plain(color: tuple[float, float, float]):
    return lambda p: p.new_tensor(color).expand_as(p)


def _paving(p: Tensor) -> Tensor:
    """Slabs that grow with the distance, so that they never fall below a pixel."""
    radius = p[:, :2].norm(dim=-1).clamp(min=0.5)
    rings, spokes = torch.sin(9 * torch.log(radius)), torch.sin(14 * torch.atan2(p[:, 1], p[:, 0]))
    return mix((0.30, 0.34, 0.22), (0.56, 0.52, 0.42), soft_step(rings * spokes, 0.3))


def _sky(p: Tensor) -> Tensor:
    """Blue above, pale towards the horizon, with clouds and a ridge of hills."""
    x, y, z = torch.nn.functional.normalize(p, dim=-1).unbind(-1)
    around = torch.atan2(y, x)
    cloud = soft_step(
        torch.sin(5 * around + 2 * torch.sin(9 * z)) * torch.sin(14 * z + torch.sin(3 * around)) - 0.4, 0.8
    )
    blue = mix((0.62, 0.72, 0.80), (0.10, 0.26, 0.60), z.clamp(0, 1).sqrt())
    sky = torch.lerp(blue, torch.full_like(p, 0.86), 0.7 * cloud[:, None])
    ridge = 0.10 + 0.035 * torch.sin(5 * around) + 0.02 * torch.sin(13 * around + 1)
    return torch.lerp(
        sky,
        mix((0.10, 0.16, 0.14), (0.20, 0.26, 0.20), 0.5 + 0.5 * torch.sin(40 * z)),
        soft_step(ridge - z, 0.02)[:, None],
    )


def _image(picture: Picture, *, opaque: bool) -> Tensor:
    pixels = (picture.rgba.clamp(0, 1) * 255).round().byte()
    return pixels[..., :3].contiguous() if opaque else pixels


def _surface_points(pictures: list[Picture], count: int, generator: torch.Generator) -> PointCloud:
    """Some of what the pixel centres of these pictures see, in the colours they see."""
    positions = torch.cat([picture.positions.reshape(-1, 3) for picture in pictures])
    colors: Float[Tensor, "P 3"] = torch.cat([picture.rgba[..., :3].reshape(-1, 3) for picture in pictures])
    seen = positions.isfinite().all(-1).nonzero().squeeze(-1)
    kept = seen[torch.randperm(len(seen), generator=generator)[:count]]
    return PointCloud(positions[kept], colors[kept])
