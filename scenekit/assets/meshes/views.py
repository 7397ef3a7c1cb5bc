"""What meshes are made from: pictures of a scene with depth, from its own cameras or from all around it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from scenekit.core.cameras import Cameras, Pixels, every_pixel, look_at
from scenekit.core.checks import BadInput
from scenekit.core.precision import quick_products
from scenekit.core.reports import Report, quiet
from scenekit.kernels.rays import rays_of
from scenekit.renderers.scene import Scene

SOLID = 0.5  # opacity above which a pixel shows a surface
FREE = 0.05  # opacity below which a pixel shows that nothing is there
FIELD_OF_VIEW = math.radians(50)
MARGIN = 1.05  # of the ball that cameras all around hold in view


@dataclass(frozen=True)
class Views:
    """C pictures of one size.

    Attributes:
        cameras: float64 in ``world``.
        colors: sRGB, of what is solid: divided by opacity, without the background.
        opacities: in [0, 1].
        depths: along z in ``world`` units.
    """

    cameras: Cameras
    colors: Float[Tensor, "C H W 3"]
    opacities: Float[Tensor, "C H W"]
    depths: Float[Tensor, "C H W"]


@dataclass(frozen=True)
class SurfacePoints:
    """P points where views see a surface, and where their rays came from."""

    positions: Float[Tensor, "P 3"]
    normals: Float[Tensor, "P 3"]
    colors: Float[Tensor, "P 3"]


def take_views(scene: Scene, cameras: Cameras, report: Report = quiet) -> Views:
    """Render every camera, into main memory; sizes must agree. Raises BadInput where the renderer gives no depth."""
    colors, opacities, depths = [], [], []
    inside = scene.cameras_in_scene(cameras)
    with torch.no_grad(), quick_products(scene.device):
        for index in range(len(cameras)):
            report("pictures", index, len(cameras))
            rendering = scene.renderer.render(inside[index])
            if rendering.depth is None:
                raise BadInput.of(
                    "mesh", wanted="a scene whose renderer gives depth", found="one without", remedy="convert it first"
                )
            solid = (rendering.color[0] / rendering.opacity[0, ..., None].clamp(min=1e-3)).clamp(0, 1)
            colors.append(solid.cpu())
            opacities.append(rendering.opacity[0].cpu())
            depths.append((rendering.depth[0] / scene.scene_from_world.scale).cpu())
    return Views(cameras, torch.stack(colors), torch.stack(opacities), torch.stack(depths))


def chosen_cameras(cameras: Cameras, count: int, size: int) -> Cameras:
    """At most ``count`` of a scene's own cameras, evenly picked, the longer side ``size`` pixels at most.

    Cameras of other proportions than the first one's are left out: views share one size.
    """
    first = cameras.sizes[0]
    alike = [i for i, (width, height) in enumerate(cameras.sizes) if width * first[1] == height * first[0]]
    step = max(1.0, len(alike) / count)
    picked = cameras[[alike[int(k * step)] for k in range(min(count, len(alike)))]]
    shrink = min(1.0, size / max(first))
    target = (max(1, round(first[0] * shrink)), max(1, round(first[1] * shrink)))
    return picked.resized([target] * len(picked))


def cameras_around(centre: Float[Tensor, "3"], radius: float, count: int, size: int) -> Cameras:
    """``count`` square cameras spread evenly over a sphere, all looking at the ball of ``radius``."""
    index = torch.arange(count, dtype=torch.float64) + 0.5
    z = 1 - 2 * index / count
    angle = math.pi * (1 + math.sqrt(5)) * index
    flat = (1 - z * z).sqrt()
    directions = torch.stack([flat * angle.cos(), flat * angle.sin(), z], -1)
    distance = MARGIN * radius / math.sin(FIELD_OF_VIEW / 2)
    up = torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64)
    middle = centre.double()
    poses = torch.stack([look_at(middle + distance * direction, middle, up) for direction in directions])
    focal = size / (2 * math.tan(FIELD_OF_VIEW / 2))
    intrinsics = torch.tensor([focal, focal, size / 2, size / 2], dtype=torch.float64).repeat(count, 1)
    return Cameras(poses, intrinsics, ((size, size),) * count)


def surface_points(views: Views) -> SurfacePoints:
    """Where the solid pixels of all views are in ``world``, with normals from neighbouring pixels."""
    found = [_points_of(views, index) for index in range(len(views.cameras))]
    return SurfacePoints(*(torch.cat(parts) for parts in zip(*found, strict=True)))


def _points_of(views: Views, index: int) -> tuple[Tensor, Tensor, Tensor]:
    camera = views.cameras[index].to(dtype=torch.float64)
    width, height = camera.sizes[0]
    rays = rays_of(camera, every_pixel(camera))
    along = views.depths[index].reshape(-1).double() / rays.z_per_distance
    points = (rays.origins + along[:, None] * rays.directions).reshape(height, width, 3)
    right, down = torch.zeros_like(points), torch.zeros_like(points)
    right[:, 1:-1], down[1:-1] = points[:, 2:] - points[:, :-2], points[2:] - points[:-2]
    normals = torch.nn.functional.normalize(torch.linalg.cross(down, right), dim=-1)  # y is down: towards the camera
    solid = views.opacities[index] > SOLID
    whole = solid.clone()  # a normal needs its neighbours on a surface too
    whole[:, 1:-1] &= solid[:, 2:] & solid[:, :-2]
    whole[1:-1] &= solid[2:] & solid[:-2]
    facing = -(normals * rays.directions.reshape(height, width, 3)).sum(-1) > 0.1
    whole &= facing
    whole[[0, -1]] = False
    whole[:, [0, -1]] = False
    return points[whole], normals[whole], views.colors[index].double()[whole]


def seen_at(camera: Cameras, points: Float[Tensor, "P 3"]) -> tuple[Pixels, Float[Tensor, " P"]]:
    """Where one camera sees points of ``world`` (float64), and their depth along z; negative behind it."""
    pose = camera.camera_from_world[0].double()
    x, y, z = (points @ pose[:, :3].T + pose[:, 3]).unbind(-1)
    fx, fy, cx, cy = camera.intrinsics[0].double()
    safe = z.clamp(min=1e-9)
    owners = torch.zeros(len(points), dtype=torch.int64)
    return Pixels(owners, torch.stack([fx * x / safe + cx, fy * y / safe + cy], -1)), z
