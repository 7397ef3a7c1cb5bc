"""The samples that light reaches, in a fixed number of rows: nothing is read back from a GPU.

What has no room is left out ray by ray, in their order, and told; rows that belong to no ray hold zeros.
"""

from __future__ import annotations

import torch
from jaxtyping import Int
from torch import Tensor

from scenekit.core.capabilities import Tracer
from scenekit.core.protocols import Medium
from scenekit.core.rays import Cells, Rays, Way
from scenekit.kernels.lit_counts import lit_counts
from scenekit.kernels.march import Marched, StepRule, march
from scenekit.renderers.early_stop import owners, samples_at

SEARCHED = 4  # rows for each that there is room for, in which light is followed where no fused path does that


@torch.no_grad()
def lit_within(field: Medium, rays: Rays, way: Way, room: int, behind: int = 0) -> Marched:
    """The samples that light reaches through ``field``, and at most ``behind`` more of each ray that has any.

    As many rays as have room in ``room`` rows. A field that finds them by a fused path does not know how many more
    there are: where there are fewer, the rows that are left have no length.
    """
    counts = followed(field, rays, way, room, behind)
    if counts is None:
        counts = _searched(field, rays, way, SEARCHED * room, behind)
    return within(rays, way, room, counts)


@torch.no_grad()
def followed(field: Medium, rays: Rays, way: Way, room: int, behind: int = 0) -> Int[Tensor, " R"] | None:
    """How many samples of each ray light reaches by the field's own fused path, and ``behind`` more of those with any.

    None where it has no such path.
    """
    counts = field.reach(rays, way, room) if isinstance(field, Tracer) else None
    return counts if counts is None or not behind else torch.where(counts > 0, counts + behind, counts)


@torch.no_grad()
def within(rays: Rays, way: Way, room: int, counts: Int[Tensor, " R"] | None = None) -> Marched:
    """The first samples of as many rays as have room in ``room`` rows; all of each, lit or not, without ``counts``."""
    return march(*_along(rays, way), counts=counts, capacity=room)


def _searched(field: Medium, rays: Rays, way: Way, rows: int, behind: int) -> Int[Tensor, " R"]:
    """How many samples of each ray are lit, by the densities of all in occupied cells, and some behind those."""
    marched = within(rays, way, rows)
    assert marched.left_out is not None
    density, _ = field.density(samples_at(rays, owners(marched), marched.distances, marched.deltas))
    counts = lit_counts(density * marched.deltas, marched.offsets)
    counts = torch.minimum(counts + behind, marched.offsets.diff()) if behind else counts
    return torch.where(marched.left_out, rows, counts)  # more than will ever fit: what was not searched has no room


def _along(rays: Rays, way: Way) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor | Cells, Tensor, StepRule, int]:
    return rays.origins, rays.directions, *way[:4], StepRule(*way.rule), way.max_samples
