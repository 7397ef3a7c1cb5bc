"""Rays of pixels, as the lenses of their cameras cast them."""

from __future__ import annotations

import torch
from torch import Tensor

from scenekit.core.cameras import Cameras, Pixels
from scenekit.core.lenses import PINHOLE, sight
from scenekit.core.rays import Rays, SeenBy
from scenekit.kernels.pinhole_rays import pinhole_rays


def rays_of(cameras: Cameras, pixels: Pixels) -> Rays:
    """Cast a ray through every pixel, exactly as its camera's lens does.

    Pinholes: :func:`~scenekit.kernels.pinhole_rays.pinhole_rays`; other lenses: :mod:`scenekit.core.lenses`.
    """
    cast = _through_pinholes if cameras.are_pinholes else _through_lenses
    return Rays(*cast(cameras, pixels), SeenBy(cameras, pixels.cameras))


def _through_pinholes(cameras: Cameras, pixels: Pixels) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    return pinhole_rays(cameras.world_from_camera, cameras.intrinsics, pixels.cameras, pixels.positions)


def _through_lenses(cameras: Cameras, pixels: Pixels) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Cameras of one lens at a time; the footprint is that of the image's middle."""
    every = [lens or PINHOLE for lens in cameras.lenses or ()]
    origins, directions = (pixels.positions.new_zeros(len(pixels), 3) for _ in range(2))
    along = pixels.positions.new_zeros(len(pixels))
    sizes = torch.tensor(cameras.sizes).to(pixels.positions)
    for lens in dict.fromkeys(every):
        owners = torch.tensor([found == lens for found in every], device=pixels.cameras.device)
        rows = torch.nonzero(owners[pixels.cameras])[:, 0]
        cameras_of = pixels.cameras[rows]
        seen = sight(lens, cameras.intrinsics[cameras_of], sizes[cameras_of], pixels.positions[rows])
        origins = origins.index_copy(0, rows, seen[0])
        directions = directions.index_copy(0, rows, seen[1])
        along = along.index_copy(0, rows, seen[2])
    pose = cameras.world_from_camera[pixels.cameras]
    fx, fy, _, _ = cameras.intrinsics[pixels.cameras].unbind(-1)
    return (
        (pose[..., :3] @ origins[..., None]).squeeze(-1) + pose[..., 3],
        (pose[..., :3] @ directions[..., None]).squeeze(-1),
        along,
        (torch.pi * fx * fy).rsqrt(),
    )
