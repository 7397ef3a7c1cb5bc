"""From a scene to a mesh: views, a surface by one of three methods, cleaning, colours."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch

from scenekit.assets.meshes.appearance import colored
from scenekit.assets.meshes.cleaning import is_closed, large_pieces, simplified
from scenekit.assets.meshes.density import sample_density
from scenekit.assets.meshes.fusion import Box, fuse
from scenekit.assets.meshes.isosurface import zero_level
from scenekit.assets.meshes.poisson import enough, poisson
from scenekit.assets.meshes.surface import Mesh, library
from scenekit.assets.meshes.texture import textured
from scenekit.assets.meshes.views import (
    SurfacePoints,
    Views,
    cameras_around,
    chosen_cameras,
    surface_points,
    take_views,
)
from scenekit.core.cameras import Cameras
from scenekit.core.checks import BadInput
from scenekit.core.reports import Report, quiet
from scenekit.renderers.scene import Scene

TEXELS = 32  # of a texture for a triangle, where nothing else is said: finer ones leave room for no detail
LEAST_FACES = 10_000  # however small the texture is


@dataclass(frozen=True)
class Meshing:
    """How a mesh is made.

    Attributes:
        method: tsdf fuses rendered depth; density follows a field's level; poisson goes through points.
        resolution: cells along the longest side.
        views: pictures of the scene that are looked at, at most.
        size: longer side of those pictures, in pixels.
        watertight: close the surface where nothing was seen, and leave out hollows.
        smallest: area of the pieces that stay, as a share of the largest one's; smaller ones float.
        faces: triangles at most; 0 for as many as there are, as it is without a texture; with one, its texels say.
        texture: texels a side of a texture; 0 for colours at the vertices.
    """

    method: Literal["tsdf", "density", "poisson"] = "tsdf"
    resolution: int = 256
    views: int = 64
    size: int = 512
    watertight: bool = False
    smallest: float = 0.02
    faces: int | None = None
    texture: int = 0

    @property
    def most(self) -> int | None:
        """How many triangles there may be; None for any number."""
        if self.faces is None:
            return max(LEAST_FACES, self.texture**2 // TEXELS) if self.texture else None
        return self.faces or None


class Material(NamedTuple):
    """What a method works on."""

    scene: Scene
    views: Views
    points: SurfacePoints
    box: Box
    options: Meshing


@dataclass(frozen=True)
class Made:
    """A mesh, and what became of the surface that was found.

    Attributes:
        mesh: in ``world``.
        closed: whether its surface is, seams of a texture left aside.
        found: triangles at first.
        cleaned: triangles without the small pieces.
        simple: triangles in the end.
    """

    mesh: Mesh
    closed: bool
    found: int
    cleaned: int
    simple: int

    @property
    def note(self) -> str:
        """What was left out, in words; empty where nothing was."""
        floating = f"{self.found - self.cleaned} of {self.found} triangles float, left out (--smallest)"
        fewer = f"{self.cleaned} triangles simplified to {self.simple} (--faces 0 keeps all)"
        told = ((floating, self.cleaned < self.found), (fewer, self.simple < self.cleaned))
        return "; ".join(words for words, true in told if true)


def mesh(scene: Scene, options: Meshing | None = None, *, box: Box | None = None) -> Mesh:
    """A coloured triangle mesh of a scene, in ``world``: ``sk.mesh(scene, sk.Meshing(texture=2048))``.

    ``box`` (in ``world``) crops; without it the mesh holds what the views see within the scene's bounds.
    Raises BadInput where nothing is seen, or where a surface cannot be closed.
    """
    return make(scene, options or Meshing(), box=box).mesh


def make(scene: Scene, options: Meshing, *, box: Box | None = None, report: Report = quiet) -> Made:
    """The mesh, and what was done on the way; ``report`` is told where that is."""
    for name in ("open3d", "trimesh", *(["xatlas"] if options.texture else [])):
        library(name)
    views, points, around = seen(scene, options, box, report)
    report("surface", 0, 1)
    found = METHODS[options.method](Material(scene, views, points, around, options))
    report("pieces", 0, 1)
    cleaned = large_pieces(found, options.smallest, solid=options.watertight)
    report("triangles", 0, 1)
    surface = cleaned if options.most is None else simplified(cleaned, options.most)
    closed = is_closed(surface)
    if options.watertight and not closed:
        raise BadInput(
            f"mesh: wanted a closed surface, found one with holes by the method {options.method}; use tsdf, or "
            "more faces"
        )
    shown = textured(surface, views, options.texture, report) if options.texture else colored(surface, views, report)
    return Made(shown, closed, len(found), len(cleaned), len(surface))


def seen(scene: Scene, options: Meshing, box: Box | None, report: Report = quiet) -> tuple[Views, SurfacePoints, Box]:
    """Pictures of a scene, the points on its surfaces that they show, and the box that holds what is wanted of these.

    Raises BadInput where nothing is seen.
    """
    if len(scene.cameras) == 0:
        raise BadInput("mesh: wanted a scene with cameras, found none; give it some with cameras_around")
    views = take_views(scene, viewpoints(scene, options), report)
    points = surface_points(views)
    inside = _inside(scene, points) if box is None else box.contains(points.positions)
    points = SurfacePoints(points.positions[inside], points.normals[inside], points.colors[inside])
    if not enough(points):
        raise BadInput("mesh: wanted a scene with surfaces in view, found hardly any; train longer or widen the crop")
    return views, points, box or Box.around(points.positions)


def viewpoints(scene: Scene, options: Meshing) -> Cameras:
    """Those of the photographs that are looked from; where there were none, new ones on all sides of the inner ball."""
    if "imported" not in scene.recipe:
        return chosen_cameras(scene.cameras, options.views, options.size)
    world_from_scene = scene.scene_from_world.inverse()
    return cameras_around(world_from_scene.translation, world_from_scene.scale, options.views, options.size)


def _inside(scene: Scene, points: SurfacePoints) -> torch.Tensor:
    """Points of the marched cube, or of the inner one where the scene goes on for ever."""
    reach = 1.0 if scene.bounds.contracted else scene.bounds.extent
    return (scene.scene_from_world.points(points.positions).abs() <= reach).all(-1)


def _tsdf(material: Material) -> Mesh:
    volume = fuse(material.views, material.points.positions, material.box, material.options.resolution)
    return zero_level(volume, closed=material.options.watertight)


def _density(material: Material) -> Mesh:
    volume = sample_density(material.scene, material.box, material.options.resolution)
    return zero_level(volume, closed=True)


def _poisson(material: Material) -> Mesh:
    options = material.options
    return poisson(material.points, material.box, options.resolution, closed=options.watertight)


METHODS: dict[str, Callable[[Material], Mesh]] = {"tsdf": _tsdf, "density": _density, "poisson": _poisson}
