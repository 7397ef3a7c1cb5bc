"""Files with points or meshes as shapes that stand beside a scene in a page."""

from __future__ import annotations

from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from scenekit.assets.meshes.files import is_mesh, read_mesh
from scenekit.assets.meshes.points import is_points
from scenekit.assets.meshes.surface import Mesh, texture_colors
from scenekit.assets.web.shapes import Shape
from scenekit.data.ply import read_points

GREY = 0.7  # of a mesh without colours


def shape_of_file(file: Path) -> Shape | None:
    """The mesh or the points of an existing file, whose frame is ``world``; None where it has neither."""
    if is_mesh(file):
        mesh = read_mesh(file)
        return Shape("mesh", file.stem, mesh.vertices, _vertex_colors(mesh), mesh.faces)
    if is_points(file):
        points = read_points(file)
        return Shape("points", file.stem, points.positions, points.colors)
    return None


def _vertex_colors(mesh: Mesh) -> Float[Tensor, "V 3"]:
    """Of the vertices themselves, or of the texture where they are."""
    if mesh.coordinates is not None and mesh.texture is not None:
        return texture_colors(mesh.texture, mesh.coordinates)
    return torch.full((len(mesh.vertices), 3), GREY) if mesh.colors is None else mesh.colors
