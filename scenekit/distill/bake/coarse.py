"""A coarser copy of a baked field: what a page shows while the whole one is still on its way."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from scenekit.core.bounds import expand
from scenekit.core.rays import Samples
from scenekit.distill.bake.blocks import BLOCK, blocks_where
from scenekit.distill.bake.field import DENSITY_REACH, FEATURE_REACH, BakedField
from scenekit.distill.bake.fit import nested
from scenekit.distill.bake.renderer import BakedRenderer

SHRINK = 4  # cells of the grid in one of the copy's, along a side
POOL = 2  # cells of the occupancy
LEAST_PLANES = 4  # vertices a side: the copy's planes are empty
ASKED = 1 << 17  # vertices at once


@torch.no_grad()
def coarser(renderer: BakedRenderer) -> BakedRenderer:
    """The same field with a quarter of the cells a side, its planes folded into them; no training.

    A vertex takes the mean of the values about it, so that a copy is softer, not speckled.
    """
    field = renderer.field
    resolution = max(BLOCK, field.blocks.resolution // SHRINK // BLOCK * BLOCK)
    occupied = renderer.occupied
    if occupied.shape[1] % (4 * POOL) == 0:  # nested cascades want a multiple of 4
        occupied = nested(torch.nn.functional.max_pool3d(occupied[:, None].float(), POOL)[:, 0] > 0)
    blocks = blocks_where(field.bounds, occupied, resolution)
    copy = BakedField(field.bounds, blocks, LEAST_PLANES, field.unit)
    for weight, source in zip(copy.network, field.network, strict=True):
        weight.copy_(source)
    with field.held():
        for rows in torch.arange(len(blocks.places), device=occupied.device).split(ASKED):
            copy.grid[rows] = _about(field, blocks.places[rows] / resolution, 0.5 / resolution)
    return BakedRenderer(copy, occupied, renderer.rule)


def _about(field: BakedField, unit: Float[Tensor, "P 3"], half: float) -> Float[Tensor, "P 8"]:
    """Raw values that stand for the cell about each place: mean thickness, colours weighted by it."""
    thickness, features = unit.new_zeros(len(unit)), unit.new_zeros(len(unit), 7)
    corners = torch.cartesian_prod(*[unit.new_tensor([-half, half])] * 3)
    for corner in corners:
        inside = ((unit + corner).clamp(0, 1) * 2 - 1) * field.bounds.field_extent
        places = expand(inside) if field.bounds.contracted else inside
        density, seen = field.density(Samples(places, places, places[:, 0]))
        alpha = -torch.expm1(-density * field.unit)
        thickness += alpha / len(corners)
        features += alpha[:, None] * seen / len(corners)
    mean = (features / thickness.clamp(min=1e-9)[:, None]).clamp(1e-3, 1 - 1e-3)
    optical = (-torch.log1p(-thickness.clamp(max=1 - 1e-6))).clamp(min=1e-9).log()
    logits = mean.logit().clamp(-FEATURE_REACH, FEATURE_REACH)
    return torch.cat([optical.clamp(-DENSITY_REACH, DENSITY_REACH)[:, None], logits], 1)
