"""Points to start Gaussians from: how far apart they are, and random ones where a capture has none."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from scenekit.core.bounds import Bounds
from scenekit.core.cameras import Cameras
from scenekit.core.cloud import PointCloud

# A leaf of the partition holds at most this many points; in every leaf, all pairs are compared.
LEAF = 32
ROTATIONS = 4


def neighbour_distances(
    points: Float[Tensor, "P 3"], count: int, generator: torch.Generator | None = None
) -> Float[Tensor, "P count"]:
    """Distances to the ``count`` nearest other points, ascending; the farthest again where P is too small.

    Exact up to LEAF points. Beyond, the cloud is cut into leaves of near points under several random
    rotations: a neighbour beyond a leaf's border in one is inside in another. What is missed makes a distance
    a few per cent too long for a few points, in a hundredth of the time of comparing all pairs.
    """
    total = points.shape[0]
    if total < 2:
        return points.new_ones(total, count)
    found: list[Tensor] = []
    for turn in range(ROTATIONS if total > LEAF else 1):
        rotation = torch.linalg.qr(torch.randn(3, 3, generator=generator))[0] if turn else torch.eye(3)
        found.append(_in_leaves(points @ rotation.to(points), min(count, total - 1)))
    neighbours = torch.cat(found, -1).sort(-1).values
    distances = (points[neighbours] - points[:, None]).norm(dim=-1)
    distances[:, 1:][neighbours[:, 1:] == neighbours[:, :-1]] = torch.inf  # found under two rotations
    nearest = distances.sort(-1).values[:, : min(count, total - 1)]
    return torch.cat([nearest, nearest[:, -1:].expand(-1, count - nearest.shape[1])], -1)


def _in_leaves(points: Tensor, count: int) -> Int[Tensor, "P count"]:
    """The nearest other points of the leaf that each point is in."""
    leaves = _leaves(points)
    local = points[leaves]
    local = local - local.mean(1, keepdim=True)  # cdist multiplies: near the origin it keeps its digits
    distances = torch.cdist(local, local)
    distances.diagonal(dim1=1, dim2=2).fill_(torch.inf)
    places = distances.topk(count, largest=False).indices
    neighbours = leaves[torch.arange(len(leaves), device=leaves.device)[:, None, None], places]
    # A point on a border is in two leaves; the first one counts.
    members, order = leaves.flatten().sort(stable=True)
    first = torch.searchsorted(members, torch.arange(points.shape[0], device=points.device))
    return neighbours.flatten(0, 1)[order[first]]


def _leaves(points: Tensor) -> Int[Tensor, "leaves size"]:
    """A balanced partition: halve along one axis after the other; odd halves share the middle."""
    rows = torch.arange(points.shape[0], device=points.device)[None]
    axis = 0
    while rows.shape[1] > LEAF:
        rows = rows.gather(1, points[rows, axis].argsort(1))
        half = (rows.shape[1] + 1) // 2
        rows = torch.cat([rows[:, :half], rows[:, -half:]])
        axis = (axis + 1) % 3
    return rows


def random_cloud(count: int, bounds: Bounds, cameras: Cameras, generator: torch.Generator | None = None) -> PointCloud:
    """Grey random points: all over a bounded scene, in front of the cameras of an unbounded one."""
    if not bounds.contracted:
        positions = bounds.extent * (2 * torch.rand(count, 3, generator=generator) - 1)
        return PointCloud(positions, torch.full((count, 3), 0.5))
    owners = torch.randint(len(cameras), (count,), generator=generator)
    sizes = torch.tensor(cameras.sizes, dtype=torch.float32)[owners]
    fx, fy, cx, cy = cameras.intrinsics.float()[owners].unbind(-1)
    u, v = (torch.rand(count, 2, generator=generator) * sizes).unbind(-1)
    # Evenly in the logarithm: as many between 1/4 and 1 scene unit as between 1 and 4.
    depths = 16 ** (torch.rand(count, generator=generator) - 0.5)
    local = depths[:, None] * torch.stack([(u - cx) / fx, (v - cy) / fy, torch.ones_like(u)], -1)
    pose = cameras.world_from_camera.float()[owners]
    positions = (pose[..., :3] @ local[..., None]).squeeze(-1) + pose[..., 3]
    return PointCloud(positions, torch.full((count, 3), 0.5))
