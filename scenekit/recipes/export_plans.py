"""What exports take of main memory that look at a scene first: meshes, points on surfaces, fields in pages.

A mesh is made of points of all solid pixels, a page of a grid where the field is anything: both are counted, in a few
small pictures and in the cells that are occupied. How much each takes is measured (``python -m
benchmarks.command_memory``).
"""

from __future__ import annotations

import torch

from scenekit.assets.meshes import Meshing
from scenekit.assets.meshes.extract import viewpoints
from scenekit.assets.meshes.views import SOLID
from scenekit.core.checks import BadInput
from scenekit.distill.bake import Baking
from scenekit.distill.bake.fit import CPU_RAYS, divided
from scenekit.recipes.memory import PROCESS
from scenekit.renderers.scene import Scene
from scenekit.renderers.volume import VolumeRenderer

MIB = 2**20
GLANCES, GLANCE = 8, 64  # pictures that are counted in, and pixels of their longer side
MESH_LIBRARIES = 277 * MIB  # trimesh and open3d, once they are loaded
LOOKED_AT = 20  # bytes of a pixel of a picture that a mesh is made of: colour, opacity, depth
POINT, POINT_KEPT = 200, 330  # bytes of a solid pixel, for a mesh; for a file of points, which are sorted into cells
CORNER = 5  # of a mesh's grid: its distance, and whether it was seen
VERTEX = 160  # bytes of a vertex of a baked grid: eight values, their gradient, two moments, and what comes of a step
PLANES = 125 * MIB  # the same of a baked field's planes
TAUGHT_RAY = 80_000  # bytes of a ray that it learns from, on its way through the field and back


def surfaces(scene: Scene) -> dict[str, dict[str, float]]:
    """By export, bytes by what they are for besides the scene: a mesh, and points, with the usual options."""
    options = Meshing()
    pixels = sum(width * height for width, height in viewpoints(scene, options).sizes)
    solid = _solid(scene, options)
    mesh = {"pictures": pixels * (LOOKED_AT + POINT * solid), "the grid": float(CORNER * options.resolution**3)}
    points = {"pictures": pixels * (LOOKED_AT + POINT_KEPT * solid)}
    return {
        "export mesh": {**mesh, "the process": PROCESS + MESH_LIBRARIES},
        "export points": {**points, "the process": PROCESS},
    }


def baked_parts(scene: Scene) -> dict[str, float]:
    """The same of a page with a field in it; nothing but the process where there is nothing to bake."""
    assert isinstance(scene.renderer, VolumeRenderer)
    baking = Baking()
    try:
        _, blocks, _, _ = divided(scene.renderer, baking, torch.Generator().manual_seed(baking.seed))
    except BadInput:
        return {"the process": PROCESS}
    grid = float(VERTEX * len(blocks.places) + PLANES)
    return {"the grid": grid, "a step": float(TAUGHT_RAY * CPU_RAYS), "the process": PROCESS}


@torch.no_grad()
def _solid(scene: Scene, options: Meshing) -> float:
    """Which share of the pixels is solid, in a few small pictures."""
    cameras = viewpoints(scene, options)
    some = cameras[list(range(0, len(cameras), max(1, len(cameras) // GLANCES)))]
    shrink = GLANCE / max(some.sizes[0])
    size = (max(1, round(some.sizes[0][0] * shrink)), max(1, round(some.sizes[0][1] * shrink)))
    inside = scene.cameras_in_scene(some.resized([size] * len(some)))
    return float((scene.renderer.render(inside).opacity > SOLID).float().mean())
