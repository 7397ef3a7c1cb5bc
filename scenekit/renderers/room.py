"""The samples that light reaches, in a fixed number of rows: nothing is read back from a GPU.

What has no room is left out ray by ray, in their order, and told; rows that belong to no ray hold zeros.
"""

from __future__ import annotations

import torch
from jaxtyping import Int
from torch import Tensor

from scenekit.core.capabilities import Tracer
from scenekit.core.protocols import Medium
from scenekit.core.rays import Rays, Way
from scenekit.kernels.lit_counts import lit_counts
from scenekit.kernels.march import Marched, StepRule, march
from scenekit.renderers.early_stop import owners, samples_at

SEARCHED = (
    4  # rows, for each that there is room for, in which lit samples are looked for where no fused path finds them
)


@torch.no_grad()
def lit_within(field: Medium, rays: Rays, way: Way, room: int) -> Marched:
    """The samples that light reaches through ``field``, as many rays as have room in ``room`` rows."""
    counts = field.reach(rays, way) if isinstance(field, Tracer) else None
    if counts is None:
        counts = _searched(field, rays, way, SEARCHED * room)
    along = (rays.origins, rays.directions, *way[:4], StepRule(*way.rule), way.max_samples)
    return march(*along, counts=counts, capacity=room)


def _searched(field: Medium, rays: Rays, way: Way, rows: int) -> Int[Tensor, " R"]:
    """How many samples of each ray are lit, by the densities of all in occupied cells."""
    marched = march(rays.origins, rays.directions, *way[:4], StepRule(*way.rule), way.max_samples, capacity=rows)
    assert marched.left_out is not None
    density, _ = field.density(samples_at(rays, owners(marched), marched.distances, marched.deltas))
    counts = lit_counts(density * marched.deltas, marched.offsets)
    return torch.where(marched.left_out, rows, counts)  # more than will ever fit: what was not searched has no room
