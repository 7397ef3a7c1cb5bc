"""What is left of a raw surface: its large pieces, as many triangles as asked for, and whether it is closed."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from scenekit.assets.meshes.isosurface import without_loose_vertices
from scenekit.assets.meshes.surface import Mesh, corner_products, library, signed_volumes


def to_open3d(mesh: Mesh) -> Any:
    """Vertices and triangles as open3d's legacy mesh."""
    open3d = library("open3d")
    made = open3d.geometry.TriangleMesh()
    made.vertices = open3d.utility.Vector3dVector(mesh.vertices.double().numpy())
    made.triangles = open3d.utility.Vector3iVector(mesh.faces.int().numpy())
    return made


def from_open3d(found: Any) -> Mesh:
    """Vertices and triangles of open3d's legacy mesh."""
    return Mesh(torch.from_numpy(np.array(found.vertices)), torch.from_numpy(np.array(found.triangles)).long())


def pieces(mesh: Mesh) -> Int[Tensor, " F"]:
    """The number of the connected piece that each triangle belongs to."""
    return torch.from_numpy(np.array(to_open3d(mesh).cluster_connected_triangles()[0])).long()


def large_pieces(mesh: Mesh, smallest: float, *, solid: bool = False) -> Mesh:
    """The pieces with at least ``smallest`` of the largest one's area: what is smaller floats.

    With ``solid`` (every piece is closed) those that enclose a hollow are left out too: their triangles face
    inwards, and nobody sees them.
    """
    if len(mesh) == 0:
        return mesh
    owner = pieces(mesh)
    count = int(owner.max()) + 1
    areas = torch.zeros(count, dtype=torch.float64).index_add_(0, owner, corner_products(mesh).norm(dim=-1))
    kept = areas >= smallest * areas.max()
    if solid:
        kept &= torch.zeros(count, dtype=torch.float64).index_add_(0, owner, signed_volumes(mesh)) > 0
    return without_loose_vertices(Mesh(mesh.vertices, mesh.faces[kept[owner]], mesh.colors))


def simplified(mesh: Mesh, faces: int) -> Mesh:
    """At most about ``faces`` triangles, by quadric error; colours are lost."""
    if len(mesh) <= faces:
        return mesh
    return from_open3d(to_open3d(mesh).simplify_quadric_decimation(target_number_of_triangles=faces))


def welded(mesh: Mesh) -> Mesh:
    """Triangles alone, vertices at the same place made one: the seams of a texture closed."""
    vertices, owner = mesh.vertices.unique(dim=0, return_inverse=True)
    return Mesh(vertices, owner[mesh.faces])


def is_closed(mesh: Mesh) -> bool:
    """Whether every edge belongs to two triangles of opposite sense: no holes.

    open3d's ``is_watertight`` asks besides that no triangles cross, in time quadratic in their number.
    """
    if len(mesh) == 0:
        return False
    edges = torch.cat([mesh.faces[:, [0, 1]], mesh.faces[:, [1, 2]], mesh.faces[:, [2, 0]]])
    codes = edges[:, 0] * len(mesh.vertices) + edges[:, 1]
    back = edges[:, 1] * len(mesh.vertices) + edges[:, 0]
    return len(codes.unique()) == len(codes) and torch.equal(codes.sort().values, back.sort().values)
