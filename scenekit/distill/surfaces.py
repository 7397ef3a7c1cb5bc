"""Points on a teacher's surfaces: where its pictures say that something is, in its colours, with its normals.

Pixels of pictures from sampled poses are put at their expected depth. Those are kept that lie on a surface: opaque,
with neighbours at nearly the same depth (an expected depth across an edge lies in mid-air), and seen at that depth from
elsewhere too (a floater is seen through). Pictures are sampled where
they have detail, so that points stand close where they are needed.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from scenekit.core.cameras import Cameras, every_pixel
from scenekit.core.cloud import PointCloud
from scenekit.core.precision import exact_products
from scenekit.core.protocols import Renderer
from scenekit.kernels.rays import rays_of

SOLID = 0.3  # opacity from which on a pixel shows a surface
STEEP = 0.15  # relative change of depth to the next pixel, above which it is an edge
SAME_DEPTH = 0.03  # relative difference up to which two views see the same
DOUBTED = 4  # candidates for each point wanted: what views do not agree on falls out
DETAIL = 0.05  # change of colour that counts as much as a plain surface does
MOST_PIXELS = 160  # a side of the pictures that points are taken from


@torch.no_grad()
def surface_points(teacher: Renderer, cameras: Cameras, count: int, generator: torch.Generator) -> PointCloud:
    """At most ``count`` points in ``scene``; none where the teacher shows nothing."""
    views = [_look(teacher, smaller(cameras[index], MOST_PIXELS)) for index in range(len(cameras))]
    cloud = PointCloud(
        torch.cat([view.cloud.positions for view in views]),
        torch.cat([view.cloud.colors for view in views]),
        torch.cat([view.cloud.normals for view in views if view.cloud.normals is not None]),
        torch.cat([view.cloud.opacities for view in views if view.cloud.opacities is not None]),
    )
    weights = torch.cat([view.weights for view in views])
    if len(views) > 1:
        drawn = _drawn(weights, DOUBTED * count, generator)
        with exact_products(weights.device):
            agreed = drawn[_agreed(cloud.positions[drawn], views)]
        cloud, weights = cloud[agreed], weights[agreed]
    return cloud[_drawn(weights, count, generator)]


@dataclass(frozen=True)
class View:
    """What one camera sees: points, how much each is wanted, and depth and opacity of the whole picture."""

    cloud: PointCloud
    weights: Float[Tensor, " P"]
    camera: Cameras
    depth: Float[Tensor, "H W"]
    solid: Bool[Tensor, "H W"]


def _drawn(weights: Float[Tensor, " P"], count: int, generator: torch.Generator) -> Int[Tensor, " M"]:
    """A weighted draw without replacement, in order: the winners of exponential races."""
    if len(weights) <= count:
        return torch.arange(len(weights), device=weights.device)
    race = torch.rand(len(weights), generator=generator, device=weights.device).clamp(min=1e-9).log() / weights
    return race.topk(count).indices.sort().values


def _agreed(positions: Float[Tensor, "P 3"], views: list[View]) -> Bool[Tensor, " P"]:
    """Points that more views see at their depth than see through them: what floats is seen through."""
    votes = torch.zeros(len(positions), device=positions.device)
    for view in views:
        width, height = view.camera.sizes[0]
        fx, fy, cx, cy = view.camera.intrinsics[0].tolist()
        inverse = view.camera.camera_from_world[0]
        x, y, z = (positions @ inverse[:, :3].T + inverse[:, 3]).unbind(-1)
        ahead = z.clamp(min=1e-6)
        u, v = fx * x / ahead + cx, fy * y / ahead + cy
        inside = (z > 0) & (u >= 0) & (u < width) & (v >= 0) & (v < height)
        row, column = v.long().clamp(0, height - 1), u.long().clamp(0, width - 1)
        depth, solid = view.depth[row, column], view.solid[row, column]
        through = ~solid | (depth > (1 + SAME_DEPTH) * z)
        votes += (inside & solid & ((depth - z).abs() <= SAME_DEPTH * z)).float() - (inside & through).float()
    return votes > 1  # one of them is its own


def smaller(camera: Cameras, most: int) -> Cameras:
    """The camera with an image of at most ``most`` pixels a side."""
    width, height = camera.sizes[0]
    factor = max(1.0, max(width, height) / most)
    return camera.resized([(max(1, round(width / factor)), max(1, round(height / factor)))])


def _look(teacher: Renderer, camera: Cameras) -> View:
    """The surfaces that one camera sees."""
    rendering = teacher.render(camera)
    assert rendering.depth is not None
    width, height = camera.sizes[0]
    rays = rays_of(camera, every_pixel(camera))
    depth, opacity = rendering.depth[0], rendering.opacity[0]
    places = rays.origins + rays.directions * (depth.reshape(-1) / rays.z_per_distance)[:, None]
    places = places.reshape(height, width, 3)
    color = rendering.color[0] / opacity.clamp(min=1e-3)[..., None]
    kept = _smooth(depth, opacity > SOLID)
    cloud = PointCloud(places[kept], color[kept].clamp(0, 1), surface_normals(places)[kept], opacity[kept].clamp(0, 1))
    return View(cloud, (1 + _change(color) / DETAIL)[kept], camera, depth, opacity > SOLID)


def _smooth(depth: Float[Tensor, "H W"], solid: Bool[Tensor, "H W"]) -> Bool[Tensor, "H W"]:
    """Solid pixels off the border whose four neighbours are solid and as deep."""
    kept = torch.zeros_like(solid)
    middle = depth[1:-1, 1:-1]
    good = solid[1:-1, 1:-1].clone()
    for rows, columns in ((slice(2, None), slice(1, -1)), (slice(None, -2), slice(1, -1)),
                          (slice(1, -1), slice(2, None)), (slice(1, -1), slice(None, -2))):  # fmt: skip
        good &= solid[rows, columns] & ((depth[rows, columns] - middle).abs() < STEEP * middle)
    kept[1:-1, 1:-1] = good
    return kept


def surface_normals(places: Float[Tensor, "H W 3"]) -> Float[Tensor, "H W 3"]:
    """Of the surface through each pixel's neighbours."""
    across, down = torch.zeros_like(places), torch.zeros_like(places)
    across[:, 1:-1] = places[:, 2:] - places[:, :-2]
    down[1:-1] = places[2:] - places[:-2]
    normals = torch.linalg.cross(across, down)
    length = normals.norm(dim=-1, keepdim=True)
    upright = normals.new_tensor([0.0, 0.0, 1.0]).expand_as(normals)
    return torch.where(length > 1e-12, normals / length.clamp(min=1e-12), upright)


def _change(color: Float[Tensor, "H W 3"]) -> Float[Tensor, "H W"]:
    """How much colour changes to the next pixels."""
    change = torch.zeros_like(color[..., 0])
    change[:, 1:] += (color[:, 1:] - color[:, :-1]).abs().mean(-1)
    change[1:] += (color[1:] - color[:-1]).abs().mean(-1)
    return change
