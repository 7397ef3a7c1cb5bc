"""Leaves out most of the samples that carry little light, so that a step compares more rays.

A sample that has weight ``w`` for the teacher is kept with the chance ``p = min(1, w / bright + DIM)``, and its step is
then ``1 / p`` times as long: the optical depth of any part of a ray is the same in the mean, so that a student which is
foggy in front of a surface is told. Both are composited from the same samples: what a thin picture lacks is no error of
the student's.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from scenekit.core.context import Context
from scenekit.core.protocols import Field
from scenekit.core.rays import Rays, Way
from scenekit.kernels.composite import composite_light
from scenekit.kernels.lit_counts import lit_counts
from scenekit.kernels.march import Marched
from scenekit.kernels.step_alphas import step_alphas
from scenekit.renderers.early_stop import owners, samples_at
from scenekit.renderers.room import SEARCHED, followed, within
from scenekit.renderers.volume import lit

DIM = 0.1  # chance of a sample that carries no light
WIDE = 3  # lit samples that are chosen among, for each that there is room for


@torch.no_grad()
def thin_light(
    teacher: Field, rays: Rays, way: Way, room: int | None, behind: int, bright: float, context: Context
) -> Marched:
    """A choice of the samples that light reaches through ``teacher``, and of ``behind`` more of each ray.

    With ``room`` in so many rows, for as many rays as fit.
    """
    marched, counted = _to_choose_from(teacher, rays, way, room, behind)
    owner = owners(marched)
    density, _ = teacher.density(samples_at(rays, owner, marched.distances, marched.deltas))
    alphas = step_alphas(density, marched.deltas)
    weights = composite_light(alphas, marched.distances, marched.offsets).weights
    chance = (weights / bright + DIM).clamp(max=1)
    if not counted:
        place = torch.arange(len(owner), device=owner.device) - marched.offsets[owner]
        lit_ones = place < (lit_counts(density * marched.deltas, marched.offsets) + behind)[owner]
        chance = torch.where(lit_ones, chance, 0)
    return thinned(marched, chance, room, context)


def _to_choose_from(teacher: Field, rays: Rays, way: Way, room: int | None, behind: int) -> tuple[Marched, bool]:
    """The lit samples and those behind, and True; without a fused path and in a room all in occupied cells."""
    if room is None:
        return lit(teacher, rays, way, behind), True
    counts = followed(teacher, rays, way, WIDE * room, behind)
    if counts is None:
        return within(rays, way, SEARCHED * room), False
    return within(rays, way, WIDE * room, counts), True


def thinned(marched: Marched, chance: Float[Tensor, " S"], room: int | None, context: Context) -> Marched:
    """Samples kept with their chance, and their steps as much longer; with ``room`` as many rays as have it."""
    kept = (context.uniform((len(chance),), chance.device) < chance) & (marched.deltas > 0)
    deltas = torch.where(kept, marched.deltas / chance, 0)
    before = torch.cat([marched.offsets.new_zeros(1), kept.cumsum(0)])
    offsets = before[marched.offsets]
    if room is None:
        return Marched(marched.distances[kept], deltas[kept], offsets)
    assert marched.left_out is not None
    assert marched.owners is not None
    fits = offsets[1:] <= room
    used = torch.where(fits, offsets[1:], 0).amax()
    rows = _rows_of(kept & (before[1:] <= used), before[:-1], room)
    there = torch.arange(room, device=rows.device) < used
    return Marched(
        torch.where(there, marched.distances[rows], 0),
        torch.where(there, deltas[rows], 0),
        offsets.clamp(max=used),
        before[-1],
        marched.left_out | ~fits,
        torch.where(there, marched.owners[rows], len(fits) - 1),
    )


def _rows_of(kept: Tensor, place: Int[Tensor, " S"], room: int) -> Int[Tensor, " room"]:
    """Which row stands at every place; the first at places that nobody has. Nothing is read back from a GPU."""
    numbers = torch.arange(len(kept), device=kept.device)
    return place.new_zeros(room + 1).scatter_(0, torch.where(kept, place, room), numbers)[:room]
