"""gsplat's projection, tile lists and rasterizer, by its compiled functions: each of our operators is one of them.

Blur and near plane are given, its radii, its cut-off of 1/255 and its least transmittance are ours. Its largest alpha
is compiled in as 0.999, where ours is 0.99: pictures differ where a Gaussian is that opaque. Its lists hold every tile
that the rectangle of the radii touches, more than ours. What it writes of where a pixel closed is an index of its own,
and means something to its own backward pass alone.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

import torch
from torch import Tensor

from scenekit.kernels.adapters import Body
from scenekit.kernels.intersect import TILE, columns
from scenekit.kernels.project import LEAST_COMPENSATION

_wrapper: Any = import_module("gsplat.cuda._wrapper")
FAR = 1e10
CHANNELS = (1, 2, 3, 4, 5, 8)  # that it was compiled for; others have empty ones added


def _call(name: str, *arguments: Any) -> Any:
    return _wrapper._make_lazy_cuda_func(name)(*arguments)


def _cameras(camera_from_world: Tensor, intrinsics: Tensor) -> tuple[Tensor, Tensor]:
    """One camera, as it has them [1 4 4] and [1 3 3]."""
    view = torch.eye(4, dtype=camera_from_world.dtype, device=camera_from_world.device)
    view[:3] = camera_from_world
    fx, fy, cx, cy = intrinsics.unbind()
    zero, one = torch.zeros_like(fx), torch.ones_like(fx)
    return view[None], torch.stack([fx, zero, cx, zero, fy, cy, zero, zero, one]).view(1, 3, 3)


def _projected(tensors: tuple[Tensor, ...], settings: tuple[Any, ...]) -> tuple[list[Any], tuple[Tensor, ...]]:
    """What both passes are called with, and radii, means, depths, conics and compensations of its forward pass."""
    width, height, near, blur = settings
    means, quaternions, scales = (x.contiguous() for x in tensors[:3])
    model = _wrapper._make_lazy_cuda_obj("CameraModelType.PINHOLE")
    shapes = [means, None, quaternions, scales]
    cameras = list(_cameras(*tensors[3:]))
    rest = (width, height, blur, near, FAR, 0.0, True, model)
    found = _call("projection_ewa_3dgs_fused_fwd", *shapes, None, *cameras, *rest)
    return [*shapes, *cameras, width, height, blur, model], found


def project(*arguments: Any) -> tuple[Tensor, ...]:
    """As the op ``project``: rows of what is culled, which it leaves unwritten, become zeros."""
    radii, *found = _projected(arguments[:5], arguments[5:])[1]
    seen = (radii[0] > 0).all(-1)
    means2d, depths, conics, compensations = (torch.where(seen.view(-1, *[1] * (x.dim() - 2)), x[0], 0) for x in found)
    compensations = torch.where(seen, compensations.clamp(min=LEAST_COMPENSATION), 0)
    return means2d, depths, conics, compensations, radii[0]


def project_backward(*arguments: Any) -> tuple[Tensor, ...]:
    """As the op ``project_backward``: its forward pass runs again, for what its backward pass wants of it."""
    gradients, tensors = arguments[:4], arguments[4:9]
    given, (radii, _, _, conics, compensations) = _projected(tensors, arguments[9:])
    for_means2d, for_depths, for_conics, for_compensations = (x[None].contiguous() for x in gradients)
    # Where the compensation is at its floor it does not move.
    for_compensations = torch.where(compensations > LEAST_COMPENSATION, for_compensations, 0)
    cotangents = (for_means2d, for_depths, for_conics, for_compensations)
    found = _call("projection_ewa_3dgs_fused_bwd", *given, radii, conics, compensations, *cotangents, True)
    for_means, _, for_quaternions, for_scales, for_view = found
    return for_means, for_quaternions, for_scales, for_view[0, :3]


def intersect(
    means2d: Tensor,
    radii: Tensor,
    conics: Tensor,
    opacities: Tensor,
    depths: Tensor,
    width: int,
    height: int,
    capacity: int,
) -> tuple[Tensor, Tensor, Tensor]:
    """As the op ``intersect``; with a capacity, all tiles are left empty where more is needed."""
    shape = columns(width), columns(height)
    _, keys, gaussians = _wrapper.isect_tiles(means2d[None], radii[None], depths[None], TILE, *shape)
    starts = _wrapper.isect_offset_encode(keys, 1, *shape).flatten().long()
    count = len(gaussians)
    offsets = torch.cat([starts, starts.new_full((1,), count)])
    needed = offsets[-1].clone()
    if capacity < 0:
        return gaussians, offsets, needed
    if count > capacity:
        return gaussians.new_zeros(capacity), torch.zeros_like(offsets), needed
    return torch.cat([gaussians, gaussians.new_zeros(capacity - count)]), offsets, needed


def _lists(gaussians: Tensor, offsets: Tensor, width: int) -> tuple[Tensor, Tensor]:
    """Offsets as it has them, int32 [1 rows columns], and the list.

    The last tile of all ends with the list for it, and ours may be longer than what is used: a row of tiles below the
    picture takes the rest.
    """
    across = columns(width)
    starts = torch.cat([offsets[:-1], offsets[-1:].expand(across)])
    return starts.view(1, -1, across).to(torch.int32), gaussians.contiguous()


def _padded(features: Tensor) -> Tensor:
    channels = next(n for n in CHANNELS if n >= features.shape[1])
    return torch.nn.functional.pad(features, (0, channels - features.shape[1])).contiguous()


def rasterize(*arguments: Any) -> tuple[Tensor, Tensor, Tensor]:
    """As the op ``rasterize``."""
    (means2d, conics, opacities, features), (gaussians, offsets, width, height) = arguments[:4], arguments[4:]
    splats = [x[None].contiguous() for x in (means2d, conics, _padded(features), opacities)]
    lists = _lists(gaussians, offsets, width)
    picture, alphas, last = _call("rasterize_to_pixels_3dgs_fwd", *splats, None, None, width, height, TILE, *lists)
    return picture[0, ..., : features.shape[1]].contiguous(), 1 - alphas[0, ..., 0], last[0]


def rasterize_backward(*arguments: Any) -> tuple[Tensor, ...]:
    """As the op ``rasterize_backward``."""
    for_picture, for_transmittances, means2d, conics, opacities, features = arguments[:6]
    gaussians, offsets, transmittances, last = arguments[6:]
    height, width = transmittances.shape
    padded = _padded(features)
    for_picture = torch.nn.functional.pad(for_picture, (0, padded.shape[1] - features.shape[1]))
    splats = [x[None].contiguous() for x in (means2d, conics, padded, opacities)]
    lists = _lists(gaussians, offsets, width)
    saved = ((1 - transmittances)[None, ..., None].contiguous(), last[None].contiguous())
    cotangents = (for_picture[None].contiguous(), -for_transmittances[None, ..., None].contiguous())
    given = (*splats, None, None, width, height, TILE, *lists, *saved, *cotangents, False)
    _, for_means2d, for_conics, for_features, for_opacities = _call("rasterize_to_pixels_3dgs_bwd", *given)
    return for_means2d[0], for_conics[0], for_opacities[0], for_features[0, :, : features.shape[1]].contiguous()


BODIES: dict[str, Body] = {
    "project": project,
    "project_backward": project_backward,
    "intersect": intersect,
    "rasterize": rasterize,
    "rasterize_backward": rasterize_backward,
}
