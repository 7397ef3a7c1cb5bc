"""How much each splat adds to pictures: the sum of its blending weights over all pixels."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from scenekit.core.cameras import Cameras
from scenekit.core.protocols import Splats
from scenekit.kernels.intersect import intersect
from scenekit.kernels.project import project
from scenekit.kernels.rasterize import rasterize


def contributions(
    splats: Splats, cameras: Cameras, *, antialiased: bool = False, near: float = 0.01
) -> Float[Tensor, " N"]:
    """Over every pixel of ``cameras`` (float32, in the splats' frame), the sum of transmittance times alpha.

    A picture is linear in what its splats show: the weights are the gradient of its sum by a feature of theirs.
    """
    total = torch.zeros_like(splats.opacities)
    poses = cameras.camera_from_world
    for index, size in enumerate(cameras.sizes):
        with torch.no_grad():
            flat = project(
                splats.means,
                splats.quaternions,
                splats.scales,
                poses[index],
                cameras.intrinsics[index],
                size,
                near=near,
            )
            opacities = splats.opacities * flat.compensations if antialiased else splats.opacities
            tiles = intersect(flat.means2d, flat.radii, flat.conics, opacities, flat.depths, size)
        shown = torch.zeros_like(flat.depths)[:, None].requires_grad_()
        with torch.enable_grad():
            picture = rasterize(flat.means2d, flat.conics, opacities, shown, tiles, size).features
            (weights,) = torch.autograd.grad(picture.sum(), shown)
        total += weights[:, 0]
    return total
