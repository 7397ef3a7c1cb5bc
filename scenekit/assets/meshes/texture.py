"""A texture for a mesh: every texel of its charts coloured from the views that see its place."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from scenekit.assets.meshes.appearance import ray_scene, seen_colors
from scenekit.assets.meshes.charts import charted
from scenekit.assets.meshes.surface import Mesh, library, vertex_normals
from scenekit.assets.meshes.views import Views
from scenekit.core.reports import Report, quiet

GUTTER = 64  # texels around charts that are filled, so that no reader's filter sees the gaps between them


def textured(mesh: Mesh, views: Views, size: int, report: Report = quiet) -> Mesh:
    """The mesh with a texture of ``size`` texels a side; vertices on the seams of charts are doubled."""
    report("charts", 0, 1)
    flat, rows = charted(mesh)
    texels, points, directions = _places(flat, vertex_normals(mesh)[rows], size)
    colors, weights = seen_colors(flat, points, directions, views, report)
    image, known = torch.zeros(size * size, 3), torch.zeros(size * size, dtype=torch.bool)
    image[texels], known[texels] = colors, weights > 0
    filled = _filled(image.reshape(size, size, 3), known.reshape(size, size))
    return Mesh(flat.vertices, flat.faces, None, flat.coordinates, filled)


def _places(mesh: Mesh, normals: Tensor, size: int) -> tuple[Tensor, Tensor, Tensor]:
    """Texels that lie in a chart, and the points and unit normals of the mesh that they show.

    Charts are looked at from above as a flat mesh: a ray through a texel's centre finds its triangle.
    """
    open3d = library("open3d")
    assert mesh.coordinates is not None
    flat = Mesh(torch.cat([mesh.coordinates, torch.zeros(len(mesh.coordinates), 1)], -1), mesh.faces)
    v, u = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    above = torch.stack([(u + 0.5) / size, 1 - (v + 0.5) / size, torch.ones(size, size)], -1)
    rays = torch.cat([above, torch.tensor([0.0, 0.0, -1.0]).expand(size, size, 3)], -1).reshape(-1, 6)
    hits = ray_scene(flat).cast_rays(open3d.core.Tensor(rays.float().numpy()))
    triangle = torch.from_numpy(hits["primitive_ids"].numpy()).long()
    texels = (triangle < len(mesh.faces)).nonzero().squeeze(-1)
    corners = mesh.faces[triangle[texels]]
    b, c = torch.from_numpy(hits["primitive_uvs"].numpy()).double()[texels].unbind(-1)
    shares = torch.stack([1 - b - c, b, c], -1)[..., None]
    points, directions = (shares * mesh.vertices[corners]).sum(1), (shares * normals[corners]).sum(1)
    return texels, points, torch.nn.functional.normalize(directions, dim=-1)


def _filled(image: Float[Tensor, "T T 3"], known: Tensor) -> Float[Tensor, "T T 3"]:
    """Unknown texels take the mean of their known neighbours, ring after ring; what is left, the mean of all."""
    planes = torch.cat([image.permute(2, 0, 1) * known, known[None].float()])[None]
    for _ in range(GUTTER):
        unknown = planes[:, 3:] == 0
        if not bool(unknown.any()):
            break
        means = torch.nn.functional.avg_pool2d(planes, 3, stride=1, padding=1)
        means = torch.cat([means[:, :3] / means[:, 3:].clamp(min=1e-9), (means[:, 3:] > 0).float()], 1)
        planes = torch.where(unknown, means, planes)
    rest = image[known].mean(0) if bool(known.any()) else torch.full((3,), 0.5)
    return torch.where(planes[0, 3, ..., None] > 0, planes[0, :3].permute(1, 2, 0), rest).clamp(0, 1)
