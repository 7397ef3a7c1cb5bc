"""Where a capture without a stated box lies in ``scene``: the subject inside, the rest contracted."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from scenekit.core.bounds import Bounds
from scenekit.core.cameras import Cameras
from scenekit.core.cloud import PointCloud
from scenekit.core.transforms import Similarity

UNBOUNDED_EXTENT = 64.0
# instant-ngp puts world x at 0.33 x + 0.5 of its unit cube, which is our [-1, 1]^3.
NGP_SCALE, NGP_OFFSETS = 0.33, (0.5, 0.5, 0.5)
NEAR = 0.2  # 0.1 of that unit cube: what lies nearer only explains photographs as floaters


def ngp_placement(
    scale: float = NGP_SCALE, offset: tuple[float, float, float] = NGP_OFFSETS, aabb_scale: float = 1.0
) -> tuple[Similarity, Bounds]:
    """instant-ngp's box: ``scale * x + offset`` in its unit cube, reaching ``aabb_scale`` times as far."""
    translation = 2 * torch.tensor(offset, dtype=torch.float64) - 1
    similarity = Similarity(2 * scale, torch.eye(3, dtype=torch.float64), translation)
    extent = 2.0 ** max(0, round(torch.tensor(float(aabb_scale)).log2().item()))
    return similarity, Bounds(extent=extent, near=NEAR if extent > 1 else 0.0)


def unbounded_placement(cameras: Cameras, points: PointCloud | None) -> tuple[Similarity, Bounds]:
    """Place cameras float64 in ``world`` so that what they look at lies in the unit ball.

    Cameras that look at something: their focus goes to the origin and their mean distance from it becomes 1.
    Cameras that look outwards: their mean goes to the origin, and half of the points lie within distance 1.
    """
    focus = convergence(cameras)
    if focus is not None:
        distance = float((cameras.centres - focus).norm(dim=-1).mean())
        return Similarity.of(1 / distance, focus), Bounds(UNBOUNDED_EXTENT, contracted=True, near=0.02)
    centre = cameras.centres.mean(0)
    spread = float((cameras.centres - centre).norm(dim=-1).mean())
    if points is not None and len(points):
        reach = float((points.positions - centre).norm(dim=-1).median())
    else:
        reach = 4 * spread
    scale = 1 / max(reach, 1e-9) if reach > 0 else 1.0
    return Similarity.of(scale, centre), Bounds(UNBOUNDED_EXTENT, contracted=True, near=0.02)


def convergence(cameras: Cameras) -> Float[Tensor, "3"] | None:
    """The point nearest to all optical axes (least squares), if most cameras stand around it and face it.

    None when axes are nearly parallel, when they meet behind the cameras, or when the meeting point lies amid
    cameras that look away from it.
    """
    forward, centres = cameras.forward, cameras.centres
    across = torch.eye(3, dtype=forward.dtype, device=forward.device) - forward[:, :, None] * forward[:, None, :]
    normal = across.mean(0)
    smallest = float(torch.linalg.eigvalsh(normal)[0])
    if smallest < 1e-3:
        return None
    focus = torch.linalg.solve(normal, (across @ centres[:, :, None]).mean(0)).squeeze(-1)
    towards = focus - centres
    distances = towards.norm(dim=-1)
    facing = (towards * forward).sum(-1) / distances.clamp(min=1e-12)
    if float((facing > 0.5).double().mean()) < 0.8:
        return None
    return focus
