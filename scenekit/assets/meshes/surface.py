"""A triangle mesh as we hold it, and the libraries of the extra that meshes need."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from scenekit.core.checks import BadInput
from scenekit.core.transforms import Similarity


@dataclass(frozen=True)
class Mesh:
    """V vertices and F triangles, counter-clockwise seen from outside.

    Attributes:
        vertices: in ``world``.
        faces: vertices of each triangle.
        colors: sRGB in [0, 1] of each vertex, if it has any.
        coordinates: of each vertex in the texture, from its lower left corner; beyond [0, 1] it repeats.
        texture: sRGB in [0, 1], the top row first.
    """

    vertices: Float[Tensor, "V 3"]
    faces: Int[Tensor, "F 3"]
    colors: Float[Tensor, "V 3"] | None = None
    coordinates: Float[Tensor, "V 2"] | None = None
    texture: Float[Tensor, "T T 3"] | None = None

    def __len__(self) -> int:
        return self.faces.shape[0]

    def moved(self, b_from_a: Similarity) -> Mesh:
        """The mesh after a change of frame."""
        return Mesh(b_from_a.points(self.vertices), self.faces, self.colors, self.coordinates, self.texture)


def corner_products(mesh: Mesh) -> Float[Tensor, "F 3"]:
    """Normals of the triangles, twice as long as their areas."""
    a, b, c = (mesh.vertices[mesh.faces[:, k]] for k in range(3))
    return torch.linalg.cross(b - a, c - a)


def vertex_normals(mesh: Mesh) -> Float[Tensor, "V 3"]:
    """Unit normals of the vertices, their triangles weighted by area."""
    products = corner_products(mesh)
    sums = torch.zeros_like(mesh.vertices)
    for k in range(3):
        sums.index_add_(0, mesh.faces[:, k], products)
    return torch.nn.functional.normalize(sums, dim=-1)


def signed_volumes(mesh: Mesh) -> Float[Tensor, " F"]:
    """Of the tetrahedra between each triangle and the origin; their sum is a closed mesh's volume."""
    a, b, c = (mesh.vertices[mesh.faces[:, k]] for k in range(3))
    return (a * torch.linalg.cross(b, c)).sum(-1) / 6


def texture_colors(texture: Float[Tensor, "T T 3"], coordinates: Float[Tensor, "P 2"]) -> Float[Tensor, "P 3"]:
    """sRGB at places in a texture, from its lower left corner; beyond [0, 1] it repeats, as files mean it."""
    inside = (coordinates >= 0) & (coordinates <= 1)  # 1 is the far edge, not the near one again
    places = torch.where(inside, coordinates, coordinates - coordinates.floor()) * 2 - 1
    places = torch.stack([places[:, 0], -places[:, 1]], -1).float()[None, None]
    picture = texture.permute(2, 0, 1)[None].float()
    return torch.nn.functional.grid_sample(picture, places, padding_mode="border", align_corners=False)[0, :, 0].T


def library(name: str) -> Any:
    """A library of the extra ``mesh``; raises BadInput that says how to get it."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise BadInput.of(
            "meshes", wanted=f"the library {name}", found="none", remedy="pip install 'scenekit[mesh]'"
        ) from error
