"""A field's density on a grid: the surface is where it crosses a level."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from scenekit.assets.meshes.fusion import Box, Volume
from scenekit.core.checks import BadInput
from scenekit.core.protocols import Field
from scenekit.core.rays import Samples
from scenekit.renderers.scene import Scene
from scenekit.renderers.volume import VolumeRenderer

# Half of the light is gone after a hundredth of the inner cube's side: what looks solid.
LEVEL = math.log(2) / 0.02
CHUNK = 2**18
STEEPEST = 4.0  # logarithms are cut off here, so that the surface lies where densities near the level say


def sample_density(scene: Scene, box: Box, resolution: int, level: float = LEVEL) -> Volume:
    """``log(level / density)`` at the corners of a grid over ``box``; outside the field's bounds nothing is.

    ``level`` is per unit of ``scene``. Raises BadInput where the scene is no field.
    """
    if not isinstance(scene.renderer, VolumeRenderer):
        raise BadInput.of("--method density", wanted="a field", found="splats", remedy="use --method tsdf or poisson")
    shape, spacing = box.corners(resolution)
    values = torch.full(shape, STEEPEST)
    occupied = _occupied(scene, box, shape, spacing)
    for rows in occupied.nonzero().split(CHUNK):
        positions = scene.scene_from_world.points(box.low + spacing * rows.double()).float()
        density = _density(scene.renderer.field, positions.to(scene.device)).cpu()
        values[tuple(rows.unbind(-1))] = (level / density.clamp(min=1e-9)).log().clamp(-STEEPEST, STEEPEST)
    return Volume(values, torch.ones(shape, dtype=torch.bool), box.low, spacing)


def _density(field: Field, positions: Float[Tensor, "S 3"]) -> Float[Tensor, " S"]:
    towards = torch.zeros_like(positions)
    towards[:, 2] = 1
    with torch.no_grad():
        density, _ = field.density(Samples(positions, towards, torch.full_like(positions[:, 0], 1e-3)))
    inside = (positions.abs() <= field.bounds.extent).all(-1)
    return torch.where(inside, density, 0.0)


def _occupied(scene: Scene, box: Box, shape: tuple[int, int, int], spacing: float) -> Tensor:
    """Corners in occupied cells of the renderer's grid, and their neighbours: nothing else can be near the level."""
    assert isinstance(scene.renderer, VolumeRenderer)
    cells = scene.renderer.occupancy.occupied.cpu()
    found = torch.zeros(shape, dtype=torch.bool)
    for x in range(shape[0]):
        rows = torch.cartesian_prod(torch.tensor([x]), torch.arange(shape[1]), torch.arange(shape[2]))
        positions = scene.scene_from_world.points(box.low + spacing * rows.double()).float()
        cascade = positions.abs().amax(-1).clamp(min=1).log2().ceil().long().clamp(max=len(cells) - 1)
        index = ((positions / torch.exp2(cascade.float())[:, None] + 1) / 2 * cells.shape[1]).floor().long()
        index = index.clamp(0, cells.shape[1] - 1)
        found[x] = cells[cascade, index[:, 0], index[:, 1], index[:, 2]].reshape(shape[1:])
    return torch.nn.functional.max_pool3d(found[None].float(), 3, stride=1, padding=1)[0] > 0
