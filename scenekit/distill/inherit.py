"""What a student takes over instead of learning it: blocks of its teacher, and where there is anything at all."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from scenekit.core.cameras import Cameras
from scenekit.core.precision import exact_products
from scenekit.core.protocols import Renderer
from scenekit.distill.surfaces import MOST_PIXELS, smaller
from scenekit.renderers.occupancy import OccupancyGrid
from scenekit.renderers.volume import VolumeRenderer

SHARED_BLOCK = "networks."  # its weights mean the same behind any encoding
CLEAR = 0.01  # opacity below which a pixel shows nothing
WIDTHS = 6  # of neighbourhoods of pixels, each twice as wide as the one before


@torch.no_grad()
def inherit(teacher: VolumeRenderer, student: VolumeRenderer, *, everything: bool = False) -> tuple[str, ...]:
    """Copy the networks' tensors of equal name and shape and return their names.

    An encoding's tensors mean something only within their own layout: with ``everything``, for two renderers of one
    config, they are copied too.
    """
    source, target = teacher.field, student.field
    assert isinstance(source, torch.nn.Module)
    assert isinstance(target, torch.nn.Module)
    found, copied = source.state_dict(), []
    # A field that grows while it is trained starts in another shape: then nothing but the networks fits.
    everything = everything and all(found[name].shape == t.shape for name, t in target.state_dict().items())
    for name, tensor in target.state_dict().items():
        same = name in found and found[name].shape == tensor.shape
        if same and (everything or name.startswith(SHARED_BLOCK)):
            tensor.copy_(found[name])
            copied.append(name)
    return tuple(copied)


@torch.no_grad()
def inherit_occupancy(teacher: OccupancyGrid, student: OccupancyGrid) -> None:
    """The teacher's cells in the student's resolution; a coarse cell holds what its finer ones hold."""
    cells = student.occupied.shape[-1]
    student.thickness.copy_(_resized(teacher.thickness, cells))
    student.occupy(_resized(teacher.occupied.float(), cells) > 0)


@torch.no_grad()
def carve(grid: OccupancyGrid, teacher: Renderer, cameras: Cameras) -> None:
    """Leave those cells empty for good that the teacher shows nothing in, from any of the (pinhole) cameras."""
    small = [smaller(cameras[index], MOST_PIXELS) for index in range(len(cameras))]
    looks = [(camera, widened(teacher.render(camera).opacity[0])) for camera in small]
    with exact_products(cameras.intrinsics.device):
        grid.forget(lambda centres, radius: seen_through(centres, radius, looks))


def widened(opacity: Float[Tensor, "H W"]) -> Float[Tensor, "N H W"]:
    """The largest opacity within 1, 2, 4, ... pixels of each pixel."""
    found, within = [], opacity[None]
    for level in range(WIDTHS):
        apart = max(1, 2 ** (level - 1))
        bordered = torch.nn.functional.pad(within, (apart,) * 4)
        within = torch.nn.functional.max_pool2d(bordered, 3, stride=1, dilation=apart)
        found.append(within)
    return torch.cat(found)


def seen_through(
    centres: Float[Tensor, "M 3"], radius: float, looks: Sequence[tuple[Cameras, Float[Tensor, "N H W"]]]
) -> Bool[Tensor, " M"]:
    """Whether some picture, as :func:`widened` has it, shows nothing wherever the ball around a centre is seen.

    Balls that a picture shows a part of, or as more than its widest neighbourhood, are not judged by it.
    """
    nothing = torch.zeros(len(centres), dtype=torch.bool, device=centres.device)
    left = torch.arange(len(centres), device=centres.device)
    for camera, opacities in looks:
        width, height = camera.sizes[0]
        fx, fy, cx, cy = camera.intrinsics[0].tolist()
        inverse = camera.camera_from_world[0]
        x, y, z = (centres @ inverse[:, :3].T + inverse[:, 3]).unbind(-1)
        ahead, nearest = z.clamp(min=1e-6), (z - radius).clamp(min=1e-6)
        u, v = fx * x / ahead + cx, fy * y / ahead + cy
        aside = torch.maximum(x.abs(), y.abs()) / ahead
        reach = max(fx, fy) * radius * (1 + aside) / nearest + 1  # of the ball's picture from its centre's, and a pixel
        level = reach.log2().ceil().clamp(min=0).long()
        whole = (u >= reach) & (u < width - reach) & (v >= reach) & (v < height - reach)
        judged = (z > radius) & whole & (level < WIDTHS)
        row, column = v.long().clamp(0, height - 1), u.long().clamp(0, width - 1)
        clear = judged & (opacities[level.clamp(max=WIDTHS - 1), row, column] < CLEAR)
        nothing[left[clear]] = True
        left, centres = left[~clear], centres[~clear]
    return nothing


def _resized(values: Tensor, cells: int) -> Tensor:
    found = values.shape[-1]
    if cells <= found:
        return torch.nn.functional.adaptive_max_pool3d(values[:, None], cells)[:, 0]
    return torch.nn.functional.interpolate(values[:, None], size=(cells,) * 3, mode="nearest")[:, 0]
