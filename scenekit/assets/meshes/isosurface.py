"""Triangles where a sampled function crosses zero (flying edges, by open3d)."""

from __future__ import annotations

import torch
from torch import Tensor

from scenekit.assets.meshes.fusion import Volume
from scenekit.assets.meshes.surface import Mesh, library

CLOSEST = 1e-3  # values nearer to zero make triangles without area, which no reader likes


def zero_level(volume: Volume, *, closed: bool) -> Mesh:
    """The surface between positive (outside) and other values, in ``world``, without colours.

    What leaves the grid is closed at its border. Unless ``closed``, triangles at corners that were not seen
    are left out, and the border's with them.
    """
    open3d = library("open3d")
    values = torch.nn.functional.pad(volume.values.double(), (1,) * 6, value=1.0).float()
    values = torch.where(values.abs() < CLOSEST, torch.where(values > 0, CLOSEST, -CLOSEST), values)
    surface = open3d.t.geometry.TriangleMesh.create_isosurfaces(open3d.core.Tensor(values.numpy()), [0.0])
    if "positions" not in surface.vertex:
        return Mesh(torch.zeros(0, 3, dtype=torch.float64), torch.zeros(0, 3, dtype=torch.int64))
    # Vertices come as (z, y, x): reversing the axes also reverses the sense of the triangles, which is inwards.
    corners = torch.from_numpy(surface.vertex.positions.numpy()).double().flip(-1)
    faces = torch.from_numpy(surface.triangle.indices.numpy()).long()
    if not closed:
        faces = faces[_seen(volume, corners)[faces].all(-1)]
    return without_loose_vertices(Mesh(volume.origin + volume.spacing * (corners - 1), faces))


def _seen(volume: Volume, corners: Tensor) -> Tensor:
    """Whether both ends of the grid edge that each vertex lies on were seen."""
    seen = torch.nn.functional.pad(volume.seen, (1,) * 6, value=False)
    low, high = corners.floor().long(), corners.ceil().long()
    return seen[tuple(low.unbind(-1))] & seen[tuple(high.unbind(-1))]


def without_loose_vertices(mesh: Mesh) -> Mesh:
    """The mesh without the vertices that no triangle uses; coordinates and texture are kept as they are."""
    used = torch.zeros(len(mesh.vertices), dtype=torch.bool)
    used[mesh.faces.reshape(-1)] = True
    place = used.cumsum(0) - 1
    return Mesh(
        mesh.vertices[used],
        place[mesh.faces],
        None if mesh.colors is None else mesh.colors[used],
        None if mesh.coordinates is None else mesh.coordinates[used],
        mesh.texture,
    )
