"""A mesh as an export: extraction, the file, and how near it comes to a known surface."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from scenekit.assets.meshes.cleaning import is_closed
from scenekit.assets.meshes.compare import compare
from scenekit.assets.meshes.extract import Meshing, mesh
from scenekit.assets.meshes.files import check_mesh_target, read_mesh, write_mesh
from scenekit.assets.meshes.fusion import Box
from scenekit.core.transforms import Similarity
from scenekit.renderers.scene import Scene


def export_mesh(
    scene: Scene,
    target: Path,
    options: Meshing,
    *,
    file_from_world: Similarity,
    box: Box | None = None,
    against: Path | None = None,
) -> dict[str, Any]:
    """Write a scene's surface and return plain facts; with ``against``, Chamfer distance, F-score and the like.

    The known surface stands in the frame of the file that is written.
    """
    check_mesh_target(target, texture=options.texture > 0)
    truth = None if against is None else read_mesh(against)
    made = mesh(scene, options, box=box).moved(file_from_world)
    write_mesh(target, made)
    facts: dict[str, Any] = {
        "file": str(target),
        "method": options.method,
        "vertices": len(made.vertices),
        "triangles": len(made),
        "watertight": is_closed(made),
        "texture": options.texture,
        "bytes": target.stat().st_size,
    }
    return facts if truth is None else facts | asdict(compare(made, truth))
