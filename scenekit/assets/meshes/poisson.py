"""Surfaces through points with normals (Kazhdan and Hoppe 2013, by open3d)."""

from __future__ import annotations

import math

import numpy as np
import torch

from scenekit.assets.meshes.cleaning import from_open3d
from scenekit.assets.meshes.fusion import Box
from scenekit.assets.meshes.surface import Mesh, library
from scenekit.assets.meshes.views import SurfacePoints

TRIMMED = 0.05  # the share of vertices with the fewest points around them that is cut off: they close holes


def poisson(points: SurfacePoints, box: Box, resolution: int, *, closed: bool) -> Mesh:
    """The smoothest closed surface through the points inside ``box``; unless ``closed``, guessed parts are cut off."""
    open3d = library("open3d")
    inside = box.contains(points.positions)
    cloud = open3d.geometry.PointCloud()
    cloud.points = open3d.utility.Vector3dVector(points.positions[inside].double().numpy())
    cloud.normals = open3d.utility.Vector3dVector(points.normals[inside].double().numpy())
    cloud = cloud.voxel_down_sample(box.corners(resolution)[1])
    cloud.normalize_normals()
    depth = max(4, math.ceil(math.log2(resolution)))
    surface, support = open3d.geometry.TriangleMesh.create_from_point_cloud_poisson(cloud, depth=depth, n_threads=1)
    if not closed:
        support = np.asarray(support)
        surface.remove_vertices_by_mask(support < np.quantile(support, TRIMMED))
    mesh = from_open3d(surface)
    if closed:
        return mesh
    whole = box.contains(mesh.vertices)[mesh.faces].all(-1)
    return Mesh(mesh.vertices, mesh.faces[whole])


def enough(points: SurfacePoints) -> bool:
    """Whether there are points to make a surface of at all."""
    return len(points.positions) >= 16 and bool(torch.isfinite(points.positions).all())
