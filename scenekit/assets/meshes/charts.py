"""Charts: a mesh cut into pieces that lie flat in a texture, by xatlas."""

from __future__ import annotations

import numpy as np
import torch

from scenekit.assets.meshes.surface import Mesh, library

# xatlas's charts grow in time quadratic in the triangles of one mesh, and cannot be interrupted; a block has a
# millisecond of it. Smaller ones would have more seams: these add one chart in ten to those of a noisy surface.
BLOCK = 2000


def charted(mesh: Mesh) -> tuple[Mesh, torch.Tensor]:
    """The mesh with coordinates in a texture, and the old vertex of each of its vertices: seams double them."""
    xatlas = library("xatlas")
    vertices, faces = mesh.vertices.float().numpy(), mesh.faces.numpy()
    atlas, owners = xatlas.Atlas(), []
    for block in _blocks(vertices[faces].mean(1), np.arange(len(faces))):
        own, local = np.unique(faces[block], return_inverse=True)
        atlas.add_mesh(vertices[own], local.reshape(-1, 3).astype(np.uint32))
        owners.append((block, own))
    atlas.generate(xatlas.ChartOptions(), xatlas.PackOptions())
    cut, rows, coordinates = np.empty_like(faces), [], []
    count = 0
    for index, (block, own) in enumerate(owners):
        source, triangles, places = atlas.get_mesh(index)
        cut[block] = triangles.astype(np.int64) + count
        rows.append(own[source])
        coordinates.append(places)
        count += len(source)
    kept = torch.from_numpy(np.concatenate(rows))
    flat = torch.from_numpy(np.concatenate(coordinates).astype(np.float64))
    return Mesh(mesh.vertices[kept], torch.from_numpy(cut), coordinates=flat), kept


def _blocks(centres: np.ndarray, rows: np.ndarray) -> list[np.ndarray]:
    """Rows of triangles that lie together, halved along the longest side until a block holds them."""
    if len(rows) <= BLOCK:
        return [np.sort(rows)]
    inside = centres[rows]
    axis = int(np.argmax(inside.max(0) - inside.min(0)))
    order = rows[np.argsort(inside[:, axis], kind="stable")]
    half = len(order) // 2
    return [*_blocks(centres, order[:half]), *_blocks(centres, order[half:])]
