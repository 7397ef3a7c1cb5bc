"""A mesh as an export: extraction, the file, and how near it comes to a known surface."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from scenekit.assets.meshes.compare import compare
from scenekit.assets.meshes.extract import Meshing, make
from scenekit.assets.meshes.files import check_mesh_target, read_mesh, write_mesh
from scenekit.assets.meshes.fusion import Box
from scenekit.core.reports import Report, quiet
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
    report: Report = quiet,
) -> dict[str, Any]:
    """Write a scene's surface and return plain facts; with ``against``, Chamfer distance, F-score and the like.

    The known surface stands in the frame of the file that is written.
    """
    check_mesh_target(target, texture=options.texture > 0)
    truth = None if against is None else read_mesh(against)
    made = make(scene, options, box=box, report=report)
    moved = made.mesh.moved(file_from_world)
    report("file", 0, 1)
    write_mesh(target, moved)
    facts: dict[str, Any] = {
        "file": str(target),
        "method": options.method,
        "vertices": len(moved.vertices),
        "triangles": len(moved),
        "triangles_found": made.found,
        "watertight": made.closed,
        "texture": options.texture,
        "bytes": target.stat().st_size,
    }
    if made.note:
        facts["note"] = made.note
    return facts if truth is None else facts | asdict(compare(moved, truth))
