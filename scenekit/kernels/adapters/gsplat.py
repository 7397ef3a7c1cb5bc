"""gsplat's projection, harmonics, tile lists and rasterizer.

Blur and near plane are given, its radii, its cut-off of 1/255 and its least transmittance are ours. Its largest alpha
is compiled in as 0.999, where ours is 0.99: pictures differ where a Gaussian is that opaque. Its lists hold every tile
that the rectangle of the radii touches, more than ours. What it writes of where a pixel closed is an index of its own,
and means something to its own backward pass alone. Intrinsics have no gradient there: a camera that learns is ours.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

import torch
from torch import Tensor

from scenekit.kernels.adapters import Body
from scenekit.kernels.intersect import FEATURES, LEAST_ALPHA, TILE, columns
from scenekit.kernels.op import reference_gradients
from scenekit.kernels.project import INPUTS, LEAST_COMPENSATION, SIGMAS

CHANNELS = (1, 2, 3, 4, 5, 8)  # that it was compiled for; others have empty ones added
_theirs: Any = import_module("gsplat.cuda._wrapper")


def _rows(*arguments: Any) -> Tensor:
    """What the op ``project`` writes of each Gaussian; differentiable but for the intrinsics."""
    means, quaternions, scales, opacities, constant, rest, world_from_camera, intrinsics = arguments[:INPUTS]
    width, height, near, blur, degree, antialiased = arguments[INPUTS:]
    views, matrices = _cameras(world_from_camera, intrinsics)
    radii, means2d, depths, conics, compensations = _theirs.fully_fused_projection(
        means, None, quaternions, scales, views, matrices, width, height,
        eps2d=blur, near_plane=near, calc_compensations=antialiased,
    )  # fmt: skip
    seen = (radii[0] > 0).all(-1)
    if antialiased:  # rows of what is culled are left as memory was
        opacities = opacities * torch.where(seen, compensations[0], 1).clamp(min=LEAST_COMPENSATION)
    colors = torch.zeros_like(means)
    if constant is not None:
        coefficients = constant if rest is None or degree == 0 else torch.cat([constant, rest], 1)
        found = _theirs.spherical_harmonics(degree, means - world_from_camera[:, 3], coefficients)
        colors = (found + 0.5).clamp(min=0)
    empty = torch.zeros_like(means2d[0])
    parts = (means2d[0], conics[0], opacities[:, None], colors, depths[0, :, None], empty)
    return torch.where(seen[:, None], torch.cat(parts, -1), 0)


def _cameras(world_from_camera: Tensor, intrinsics: Tensor) -> tuple[Tensor, Tensor]:
    """One camera, as it has them [1 4 4] and [1 3 3]."""
    rotation = world_from_camera[:, :3].T
    view = torch.cat([rotation, -rotation @ world_from_camera[:, 3:]], 1)
    last = view.new_zeros(1, 4)
    last[:, 3] = 1
    fx, fy, cx, cy = intrinsics.unbind()
    zero, one = torch.zeros_like(fx), torch.ones_like(fx)
    matrix = torch.stack([fx, zero, cx, zero, fy, cy, zero, zero, one]).view(3, 3)
    return torch.cat([view, last])[None], matrix[None]


def project(*arguments: Any) -> Any:
    """As the op ``project``."""
    if not len(arguments[0]):
        return NotImplemented
    rows = _rows(*arguments)
    return rows, rows[:, 9].clone()


def project_backward(*arguments: Any) -> Any:
    """As the op ``project_backward``: its forward pass runs again, for what its backward pass wants of it."""
    gradient, inputs, (rest, camera) = arguments[0], arguments[1:-1], arguments[-1]
    if camera or not len(gradient):
        return NotImplemented
    constant = inputs[4] is not None
    wanted = [0, 1, 2, 3, *([4] if constant else []), *([5] if constant and rest else [])]
    found = dict(zip(wanted, reference_gradients(_rows, inputs, wanted, (gradient,)), strict=True))
    return tuple(found.get(i, gradient.new_empty(0)) for i in range(INPUTS))


def intersect(rows: Tensor, depths: Tensor, width: int, height: int, capacity: int, order: Tensor | None) -> Any:
    """As the op ``intersect``; where there is no room for all, every tile is left empty."""
    if not len(rows) or order is not None:
        return NotImplemented
    a, b, c, opacities = rows[:, 2:FEATURES].unbind(-1)
    determinants = a * c - b * b
    seen = (determinants > 0) & (a > 0) & (c > 0) & (opacities >= LEAST_ALPHA)
    variances = torch.stack([c, a], -1) / determinants[:, None]
    radii = torch.where(seen[:, None], torch.ceil(SIGMAS * variances.sqrt()), 0).clamp(max=1e9).to(torch.int32)
    shape = columns(width), columns(height)
    means2d = rows[:, :2].contiguous()
    _, keys, gaussians = _theirs.isect_tiles(means2d[None], radii[None], depths[None], TILE, *shape)
    starts = _theirs.isect_offset_encode(keys, 1, *shape).flatten().long()
    count = len(gaussians)
    offsets = torch.cat([starts, starts.new_full((1,), count)])
    needed = offsets[-1].clone()
    if capacity < 0:
        return gaussians, offsets, needed
    if count > capacity:
        return gaussians.new_zeros(capacity), torch.zeros_like(offsets), needed
    return torch.cat([gaussians, gaussians.new_zeros(capacity - count)]), offsets, needed


def _splats(rows: Tensor, channels: int) -> list[Tensor]:
    """Means, conics, features and opacities, as it has them."""
    padded = next(n for n in CHANNELS if n >= channels) - channels
    features = torch.nn.functional.pad(rows[:, FEATURES : FEATURES + channels], (0, padded))
    return [x[None].contiguous() for x in (rows[:, :2], rows[:, 2:5], features, rows[:, 5])]


def _lists(gaussians: Tensor, offsets: Tensor, width: int) -> tuple[Tensor, Tensor]:
    """Offsets, int32 [1 rows columns], and the list.

    To it the last of all tiles ends where the list does, and ours may be longer than what is used of it: a row of
    tiles below the picture takes the rest.
    """
    across = columns(width)
    starts = torch.cat([offsets[:-1], offsets[-1:].expand(across)])
    return starts.view(1, -1, across).to(torch.int32), gaussians.contiguous()


def rasterize(rows: Tensor, gaussians: Tensor, offsets: Tensor, channels: int, width: int, height: int) -> Any:
    """As the op ``rasterize``."""
    if not len(gaussians):
        return NotImplemented
    forward = _theirs._make_lazy_cuda_func("rasterize_to_pixels_3dgs_fwd")
    lists = _lists(gaussians, offsets, width)
    picture, alphas, last = forward(*_splats(rows, channels), None, None, width, height, TILE, *lists)
    opacities = alphas[0, ..., 0]
    return picture[0, ..., :channels].contiguous(), opacities, 1 - opacities, last[0]


def rasterize_backward(*arguments: Any) -> Any:
    """As the op ``rasterize_backward``."""
    for_picture, for_opacities, rows, gaussians, offsets, transmittances, last = arguments
    height, width, channels = for_picture.shape
    if not len(gaussians):
        return NotImplemented
    splats = _splats(rows, channels)
    padded = splats[2].shape[-1] - channels
    backward = _theirs._make_lazy_cuda_func("rasterize_to_pixels_3dgs_bwd")
    saved = (1 - transmittances)[None, ..., None].contiguous(), last[None].contiguous()
    cotangents = torch.nn.functional.pad(for_picture, (0, padded))[None], for_opacities[None, ..., None]
    _, *found = backward(
        *splats, None, None, width, height, TILE, *_lists(gaussians, offsets, width), *saved,
        *(x.contiguous() for x in cotangents), False,
    )  # fmt: skip
    for_means2d, for_conics, for_features, for_own = (x[0] for x in found)
    parts = (for_means2d, for_conics, for_own[:, None], for_features[:, :channels])
    rest = rows.new_zeros(len(rows), rows.shape[1] - FEATURES - channels)
    return torch.cat([*parts, rest], 1)


BODIES: dict[str, Body] = {
    "project": project,
    "project_backward": project_backward,
    "intersect": intersect,
    "rasterize": rasterize,
    "rasterize_backward": rasterize_backward,
}
