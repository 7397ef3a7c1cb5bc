"""What a student takes over instead of learning it: blocks of its teacher, and where there is anything at all."""

from __future__ import annotations

import torch
from torch import Tensor

from scenekit.core.protocols import Medium
from scenekit.renderers.occupancy import OPAQUE_ENOUGH, OccupancyGrid
from scenekit.renderers.volume import VolumeRenderer

SHARED_BLOCK = "networks."  # its weights mean the same behind any encoding
LOOKS = 3  # at a random place of every cell


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
def fill_occupancy(grid: OccupancyGrid, medium: Medium, generator: torch.Generator) -> None:
    """Occupy what the medium fills, and the cells around: what is thin is easily missed."""
    for _ in range(LOOKS):
        grid.update(medium, grid.cells, generator)
    full = (grid.thickness > OPAQUE_ENOUGH / 10).float()
    around = torch.nn.functional.max_pool3d(full[:, None], 3, stride=1, padding=1)[:, 0] > 0
    grid.thickness[around & (grid.thickness >= 0)] = 2 * OPAQUE_ENOUGH
    grid.occupy(grid.thickness > OPAQUE_ENOUGH)


def _resized(values: Tensor, cells: int) -> Tensor:
    found = values.shape[-1]
    if cells <= found:
        return torch.nn.functional.adaptive_max_pool3d(values[:, None], cells)[:, 0]
    return torch.nn.functional.interpolate(values[:, None], size=(cells,) * 3, mode="nearest")[:, 0]
