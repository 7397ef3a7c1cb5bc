"""Baked fields without any training, in which every texture holds something."""

import torch

from scenekit.core.bounds import Bounds
from scenekit.distill.bake.blocks import blocks_where
from scenekit.distill.bake.field import BakedField
from scenekit.distill.bake.fit import nested
from scenekit.distill.bake.renderer import BakedRenderer, step_rule


def random_baked(extent=1.0, resolution=32, planes=24, grid=16, seed=0):
    """Lumps in a sixth of the cells; colours and what depends on direction at random."""
    make = torch.Generator().manual_seed(seed)
    bounds = Bounds(extent, contracted=extent > 1, near=0.05)
    lumps = torch.rand(bounds.cascades, 1, grid // 4, grid // 4, grid // 4, generator=make)
    occupied = nested(torch.nn.functional.interpolate(lumps, scale_factor=4)[:, 0] > 0.85)
    rule = step_rule(extent, 128, grid, 1 / 128)
    field = BakedField(bounds, blocks_where(bounds, occupied, resolution), planes, rule.smallest, make)
    with torch.no_grad():
        field.grid.copy_(torch.randn(field.grid.shape, generator=make) * 1.5)
        field.grid[:, 0] -= 2
        for plane in field.planes:
            plane.copy_(torch.randn(plane.shape, generator=make))
        for weight in field.network:
            weight.mul_(2)
        field.network[-1].mul_(30)
    return BakedRenderer(field, occupied, rule)
