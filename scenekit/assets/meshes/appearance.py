"""Colours of a mesh from pictures: every point is what the cameras that see it show, those that face it most."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from scenekit.assets.meshes.surface import Mesh, library, vertex_normals
from scenekit.assets.meshes.views import SOLID, Views, seen_at
from scenekit.core.cameras import Cameras, every_pixel
from scenekit.core.reports import Report, quiet
from scenekit.kernels.rays import rays_of

FACING = 4  # power of the cosine that weighs a camera
STEEP = 0.2  # cosine below which a camera sees a point too obliquely to say its colour
DEPTH_TOLERANCE = 0.01  # of the depth, within which a point is what its pixel shows
GREY = 0.5


def colored(mesh: Mesh, views: Views, report: Report = quiet) -> Mesh:
    """The mesh with colours at its vertices; those that no camera sees take their neighbours'."""
    colors, weights = seen_colors(mesh, mesh.vertices, vertex_normals(mesh), views, report)
    return Mesh(mesh.vertices, mesh.faces, _spread_over(mesh, colors, weights > 0))


def seen_colors(
    mesh: Mesh, points: Float[Tensor, "P 3"], normals: Float[Tensor, "P 3"], views: Views, report: Report = quiet
) -> tuple[Float[Tensor, "P 3"], Float[Tensor, " P"]]:
    """Weighted means of what views show of points on ``mesh``, and the weights' sums; 0 where none sees them."""
    scene = ray_scene(mesh)
    total, weight = torch.zeros(len(points), 3), torch.zeros(len(points))
    for index in range(len(views.cameras)):
        report("colours", index, len(views.cameras))
        camera = views.cameras[index]
        pixels, z = seen_at(camera, points)
        width, height = camera.sizes[0]
        places = (pixels.positions / torch.tensor([width, height]) * 2 - 1).float()[None, None]
        front = ray_depths(scene, camera).reshape(1, 1, height, width)
        picture = torch.cat([views.colors[index], views.opacities[index][..., None]], -1).permute(2, 0, 1)[None]
        surface = torch.nn.functional.grid_sample(front, places, mode="nearest", align_corners=False)[0, 0, 0]
        color = torch.nn.functional.grid_sample(picture, places, align_corners=False)[0, :, 0]
        towards = torch.nn.functional.normalize(camera.centres[0].double() - points, dim=-1)
        cosine = (towards * normals).sum(-1).float()
        seen = (places.abs() < 1).all(-1)[0, 0] & (z > 0) & (cosine > STEEP) & (color[3] > SOLID)
        seen &= (surface - z).abs() < DEPTH_TOLERANCE * z
        weights = torch.where(seen, cosine.clamp(min=0) ** FACING, 0.0)
        total += weights[:, None] * color[:3].T
        weight += weights
    return total / weight.clamp(min=1e-12)[:, None], weight


def ray_scene(mesh: Mesh) -> Any:
    """open3d's structure for casting rays at a mesh."""
    open3d = library("open3d")
    scene = open3d.t.geometry.RaycastingScene(nthreads=torch.get_num_threads())
    vertices = open3d.core.Tensor(mesh.vertices.float().numpy())
    scene.add_triangles(vertices, open3d.core.Tensor(mesh.faces.numpy().astype(np.uint32)))
    return scene


def ray_depths(scene: Any, camera: Cameras) -> Float[Tensor, "H W"]:
    """Depth along z of what each pixel's ray meets first; infinite where it meets nothing."""
    open3d = library("open3d")
    rays = rays_of(camera.to(dtype=torch.float64), every_pixel(camera.to(dtype=torch.float64)))
    packed = torch.cat([rays.origins, rays.directions], -1).float().numpy()
    hit = torch.from_numpy(scene.cast_rays(open3d.core.Tensor(packed))["t_hit"].numpy())
    width, height = camera.sizes[0]
    return (hit.double() * rays.z_per_distance).reshape(height, width).float()


def _spread_over(mesh: Mesh, colors: Tensor, known: Tensor) -> Float[Tensor, "V 3"]:
    """Give unseen vertices the mean of their coloured neighbours, ring after ring."""
    colors, known = torch.where(known[:, None], colors, 0.0), known.clone()
    edges = torch.cat([mesh.faces[:, [0, 1]], mesh.faces[:, [1, 2]], mesh.faces[:, [2, 0]]])
    edges = torch.cat([edges, edges.flip(-1)])
    while True:
        useful = known[edges[:, 0]] & ~known[edges[:, 1]]
        if not bool(useful.any()):
            break
        source, target = edges[useful].unbind(-1)
        sums = torch.zeros(len(colors), 4)
        sums.index_add_(0, target, torch.cat([colors[source], torch.ones(len(source), 1)], -1))
        new = sums[:, 3] > 0
        colors[new] = sums[new, :3] / sums[new, 3:]
        known |= new
    return torch.where(known[:, None], colors, GREY).clamp(0, 1)
