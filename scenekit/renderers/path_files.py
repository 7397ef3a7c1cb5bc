"""Camera paths from JSON: nerfstudio's ``camera_path.json``, ``transforms.json``, and a plain one of ours.

Ours is ``{"cameras": [{"world_from_camera": [3 rows of 4], "fov": 50.0}, ...]}``: OpenCV axes, vertical field
of view in degrees (optional: the photographs'). The other two have OpenGL axes (y up, looking along -z). All
poses are taken to be in the capture's own ``world``.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from scenekit.core.checks import BadInput
from scenekit.core.transforms import matrix_from_quaternion, quaternion_from_matrix

WANTED = "a camera path: 'cameras' with 'world_from_camera', 'camera_path' with 'camera_to_world', or 'frames'"
LISTS = {"cameras": "world_from_camera", "camera_path": "camera_to_world", "frames": "transform_matrix"}


def read_path(file: Path, count: int | None = None) -> tuple[Float[Tensor, "C 3 4"], Float[Tensor, " C"]]:
    """Poses (OpenCV axes, ``world``, float64) and vertical fields of view in radians (NaN where not given).

    With a ``count`` other than the number of poses in the file, the path through them is sampled evenly.
    Raises BadInput where the file is missing, damaged or holds a pose that is none.
    """
    table = _load(file)
    kind = next((kind for kind in LISTS if isinstance(table.get(kind), list) and table[kind]), None)
    if kind is None:
        raise BadInput.of(file, wanted=WANTED, found=f"keys {sorted(table)[:8]}", remedy="give another file")
    rows = [row if isinstance(row, dict) else {} for row in table[kind]]
    poses = torch.stack([_pose(file, index, row.get(LISTS[kind])) for index, row in enumerate(rows)])
    if kind != "cameras":
        poses = poses * torch.tensor([1.0, -1.0, -1.0, 1.0], dtype=torch.float64)
    angles = torch.tensor([_field_of_view(row, table) for row in rows], dtype=torch.float64)
    if count is None or count == len(poses):
        return poses, angles
    return through(poses, angles, count)


def _load(file: Path) -> dict[str, Any]:
    try:
        table = json.loads(file.read_text())
    except (OSError, ValueError) as error:
        found = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise BadInput.of(file, wanted=WANTED, found=found, remedy="give a JSON file") from error
    if not isinstance(table, dict):
        raise BadInput.of(file, wanted=WANTED, found=f"a {type(table).__name__}", remedy="give another file")
    return table


def _pose(file: Path, index: int, values: Any) -> Tensor:
    try:
        matrix = torch.tensor(values, dtype=torch.float64).reshape(-1, 4)[:3]
    except (TypeError, ValueError, RuntimeError):
        matrix = torch.zeros(0, 4, dtype=torch.float64)
    turn = matrix[:, :3]
    if matrix.shape != (3, 4) or not bool(matrix.isfinite().all()) or float(torch.linalg.det(turn)) <= 1e-12:
        raise BadInput.of(
            file,
            wanted=f"a finite 4x4 camera matrix with a rotation for pose {index}",
            found=str(values)[:80],
            remedy="mend or remove the pose",
        )
    u, _, v = torch.linalg.svd(turn)  # the nearest rotation: some exporters leave a scale in
    return torch.cat([u @ v, matrix[:, 3:]], -1)


def _field_of_view(row: dict[str, Any], table: dict[str, Any]) -> float:
    """Vertical, in radians: from degrees, from a focal length and a height, or NaN."""
    angle = row.get("fov")
    if isinstance(angle, int | float) and 0 < angle < 180:
        return math.radians(angle)
    focal, height = row.get("fl_y", table.get("fl_y")), row.get("h", table.get("h"))
    if isinstance(focal, int | float) and isinstance(height, int | float) and focal > 0 < height:
        return 2 * math.atan(height / (2 * focal))
    return math.nan


def through(
    poses: Float[Tensor, "K 3 4"], angles: Float[Tensor, " K"], count: int
) -> tuple[Float[Tensor, "C 3 4"], Float[Tensor, " C"]]:
    """Sample a path evenly: centres on Catmull-Rom curves, rotations on great arcs, angles in between."""
    last = len(poses) - 1
    times = torch.linspace(0, last, count, dtype=torch.float64)
    start = times.floor().long().clamp(max=max(0, last - 1))
    end = (start + 1).clamp(max=last)
    share = (times - start)[:, None]
    centres, quaternions = poses[:, :, 3], quaternion_from_matrix(poses[:, :, :3])
    before, after = (start - 1).clamp(min=0), (end + 1).clamp(max=last)
    tangent0, tangent1 = (centres[end] - centres[before]) / 2, (centres[after] - centres[start]) / 2
    s2, s3 = share**2, share**3
    curve = (2 * s3 - 3 * s2 + 1) * centres[start] + (s3 - 2 * s2 + share) * tangent0
    curve = curve + (3 * s2 - 2 * s3) * centres[end] + (s3 - s2) * tangent1
    turned = matrix_from_quaternion(_slerp(quaternions[start], quaternions[end], share))
    return torch.cat([turned, curve[..., None]], -1), torch.lerp(angles[start], angles[end], share[:, 0])


def _slerp(first: Tensor, second: Tensor, share: Tensor) -> Tensor:
    cosine = (first * second).sum(-1, keepdim=True)
    second, cosine = torch.where(cosine < 0, -second, second), cosine.abs().clamp(max=1.0)
    angle = torch.acos(cosine)
    sine = torch.sin(angle)
    near = sine < 1e-6
    weight0 = torch.where(near, 1 - share, torch.sin((1 - share) * angle) / sine.clamp(min=1e-12))
    weight1 = torch.where(near, share, torch.sin(share * angle) / sine.clamp(min=1e-12))
    return weight0 * first + weight1 * second
