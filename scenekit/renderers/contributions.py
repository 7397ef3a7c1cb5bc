"""How much each splat adds to pictures: the sum of its blending weights over all pixels."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from scenekit.core.cameras import Cameras
from scenekit.core.protocols import Splats
from scenekit.kernels.intersect import FEATURES, intersect
from scenekit.kernels.project import project
from scenekit.kernels.rasterize import rasterize


def contributions(
    splats: Splats, cameras: Cameras, *, antialiased: bool = False, near: float = 0.01
) -> Float[Tensor, " N"]:
    """Over every pixel of ``cameras`` (float32, in the splats' frame), the sum of transmittance times alpha.

    Cameras are brought to where the splats are. A picture is linear in what its splats show: the weights are the
    gradient of its sum by a feature of theirs.
    """
    cameras = cameras.to(splats.means.device)
    total = torch.zeros_like(splats.opacities)
    for index, size in enumerate(cameras.sizes):
        camera = (cameras.world_from_camera[index], cameras.intrinsics[index], size)
        with torch.no_grad():
            shapes = (splats.means, splats.quaternions, splats.scales, splats.opacities)
            flat = project(*shapes, *camera, antialiased=antialiased, near=near)
            tiles = intersect(flat.rows, flat.depths, size)
        rows = flat.rows.requires_grad_()
        with torch.enable_grad():
            picture = rasterize(rows, tiles, size, channels=1).features
            (gradient,) = torch.autograd.grad(picture.sum(), rows)
        total += gradient[:, FEATURES]
    return total
