"""A scene as coloured points on its surfaces, whatever it is made of: a .ply for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from scenekit.assets.atomic import replacing
from scenekit.assets.meshes.extract import Meshing, seen
from scenekit.assets.meshes.fusion import Box
from scenekit.assets.meshes.views import SurfacePoints
from scenekit.core.checks import BadInput
from scenekit.core.cloud import PointCloud
from scenekit.core.reports import Report, quiet
from scenekit.core.transforms import Similarity
from scenekit.data.ply import points_file, read_header, read_points
from scenekit.renderers.scene import Scene


def surface_cloud(
    scene: Scene, options: Meshing | None = None, *, box: Box | None = None, report: Report = quiet
) -> PointCloud:
    """Points with normals where pictures of a scene see surfaces, in ``world``, one for each cell of a mesh's grid.

    ``box`` (in ``world``) crops. Raises BadInput where nothing is seen.
    """
    options = options or Meshing()
    _, points, around = seen(scene, options, box, report)
    kept = around.contains(points.positions)
    points = SurfacePoints(points.positions[kept], points.normals[kept], points.colors[kept])
    return _thinned(points, around.low, around.corners(options.resolution)[1])


def export_points(
    scene: Scene,
    target: Path,
    options: Meshing,
    *,
    file_from_world: Similarity,
    box: Box | None = None,
    report: Report = quiet,
) -> dict[str, Any]:
    """Write a scene's surface as points and return plain facts."""
    check_points_target(target)
    cloud = surface_cloud(scene, options, box=box, report=report).moved(file_from_world)
    with replacing(target) as temporary:
        temporary.write_bytes(points_file(cloud))
    return {"file": str(target), "format": "PLY points", "points": len(cloud), "bytes": target.stat().st_size}


def is_points(source: Path) -> bool:
    """Whether a file is a .ply of vertices that are no Gaussians (and no mesh: see ``is_mesh``)."""
    with source.open("rb") as stream:
        try:
            names = read_header(stream).element("vertex").names
        except ValueError:
            return False
    return {"x", "y", "z"} <= set(names) and "f_dc_0" not in names


def describe_points(source: Path) -> dict[str, Any]:
    """Plain facts about a .ply of points; raises BadInput for a damaged one."""
    cloud = read_points(source)
    facts = {"file": str(source), "format": "PLY points", "points": len(cloud), "bytes": source.stat().st_size}
    if len(cloud):
        facts |= {"lowest": cloud.positions.amin(0).tolist(), "highest": cloud.positions.amax(0).tolist()}
    return facts


def check_points_target(target: Path) -> None:
    """Raises BadInput where points cannot be written to ``target``, before anything is computed."""
    if target.suffix.lower() != ".ply" or target.name.lower().endswith(".compressed.ply"):
        raise BadInput.of(target, wanted="a file ending in .ply for points", found=f"'{target.name}'",
                          remedy="choose such a name")  # fmt: skip


def _thinned(points: SurfacePoints, low: Float[Tensor, "3"], spacing: float) -> PointCloud:
    """The mean point of each cell; of normals their direction."""
    cells = ((points.positions - low) / spacing).long()
    _, owner, counts = cells.unique(dim=0, return_inverse=True, return_counts=True)

    def mean(values: Tensor) -> Tensor:
        return values.new_zeros(len(counts), 3).index_add_(0, owner, values) / counts[:, None]

    normals = torch.nn.functional.normalize(mean(points.normals), dim=-1)
    return PointCloud(mean(points.positions), mean(points.colors), normals)
