"""How near two surfaces are: distances from points drawn on one to the other surface, both ways."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from scenekit.assets.meshes.appearance import ray_scene
from scenekit.assets.meshes.surface import Mesh, corner_products, library, texture_colors
from scenekit.training.objective import psnr_of


@dataclass(frozen=True)
class Likeness:
    """Distances in units of ``world``.

    Attributes:
        chamfer: mean of ``accuracy`` and ``completeness``.
        accuracy: mean distance from the mesh to the truth.
        completeness: mean distance from the truth to the mesh.
        threshold: below which a point counts as right.
        precision, recall, f_score: shares of right points of the mesh and of the truth, and their harmonic mean.
        normal_consistency: mean of |cosine| between the normals at nearest points, both ways.
        texture_psnr: of the colours at nearest points in dB, where both have colours.
        samples: points drawn on each.
    """

    chamfer: float
    accuracy: float
    completeness: float
    threshold: float
    precision: float
    recall: float
    f_score: float
    normal_consistency: float
    texture_psnr: float | None
    samples: int


@dataclass(frozen=True)
class _Nearest:
    """Of each point: its distance to a surface, and how normals and colours agree there."""

    distances: Float[Tensor, " P"]
    cosines: Float[Tensor, " P"]
    squares: Float[Tensor, " P"] | None


def compare(mesh: Mesh, truth: Mesh, *, threshold: float | None = None, samples: int = 100_000) -> Likeness:
    """Points are drawn evenly by area, the same for the same mesh; ``threshold`` is a hundredth of the truth's
    largest side where None."""
    side = float((truth.vertices.amax(0) - truth.vertices.amin(0)).max())
    limit = side / 100 if threshold is None else threshold
    there, back = _nearest(mesh, truth, samples), _nearest(truth, mesh, samples)
    precision, recall = ((part.distances < limit).double().mean().item() for part in (there, back))
    accuracy, completeness = there.distances.mean().item(), back.distances.mean().item()
    return Likeness(
        chamfer=(accuracy + completeness) / 2,
        accuracy=accuracy,
        completeness=completeness,
        threshold=limit,
        precision=precision,
        recall=recall,
        f_score=2 * precision * recall / max(precision + recall, 1e-12),
        normal_consistency=(there.cosines.mean().item() + back.cosines.mean().item()) / 2,
        texture_psnr=None if there.squares is None else psnr_of(there.squares.mean().item()),
        samples=samples,
    )


def _nearest(mesh: Mesh, other: Mesh, samples: int) -> _Nearest:
    open3d = library("open3d")
    faces, shares = _drawn(mesh, samples)
    points = _at(mesh, mesh.vertices, faces, shares)
    found = ray_scene(other).compute_closest_points(open3d.core.Tensor(points.float().numpy()))
    there = torch.from_numpy(found["primitive_ids"].numpy().astype("int64"))
    b, c = torch.from_numpy(found["primitive_uvs"].numpy()).double().unbind(-1)
    nearest = torch.stack([1 - b - c, b, c], -1)
    distances = (_at(other, other.vertices, there, nearest) - points).norm(dim=-1)
    unit = torch.nn.functional.normalize
    cosines = (unit(corner_products(mesh)[faces], dim=-1) * unit(corner_products(other)[there], dim=-1)).sum(-1).abs()
    mine, theirs = _colors(mesh, faces, shares), _colors(other, there, nearest)
    squares = None if mine is None or theirs is None else (mine - theirs).square().mean(-1)
    return _Nearest(distances, cosines, squares)


def _drawn(mesh: Mesh, count: int) -> tuple[Tensor, Float[Tensor, "P 3"]]:
    """Triangles drawn by area, and where in them."""
    generator = torch.Generator().manual_seed(0)
    areas = corner_products(mesh).double().norm(dim=-1).cumsum(0)
    faces = torch.searchsorted(areas, torch.rand(count, generator=generator, dtype=torch.float64) * areas[-1])
    u, v = torch.rand(2, count, generator=generator, dtype=torch.float64).unbind(0)
    root = u.sqrt()
    return faces.clamp(max=len(areas) - 1), torch.stack([1 - root, root * (1 - v), root * v], -1)


def _at(mesh: Mesh, values: Tensor, faces: Tensor, shares: Tensor) -> Tensor:
    """Values of the vertices, interpolated in triangles."""
    return (shares[..., None] * values[mesh.faces[faces]].double()).sum(1)


def _colors(mesh: Mesh, faces: Tensor, shares: Tensor) -> Float[Tensor, "P 3"] | None:
    """sRGB at places on a mesh, from its texture or its vertices."""
    if mesh.texture is not None and mesh.coordinates is not None:
        return texture_colors(mesh.texture, _at(mesh, mesh.coordinates, faces, shares)).double()
    return None if mesh.colors is None else _at(mesh, mesh.colors, faces, shares)
