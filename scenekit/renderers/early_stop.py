"""Leaves out the samples that lie behind what is already opaque, before anything is asked with gradients.

What no ray reaches is never corrected, so fields grow dense behind their surfaces, and the occupancy grid
cannot know that. Rays are therefore first asked for their density in rounds of some samples each, front to
back, until nothing shines through; instant-ngp compacts its batches to the same end.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from scenekit.core.protocols import Medium
from scenekit.core.rays import OnRays, Rays, Samples
from scenekit.kernels.lit_counts import OPAQUE
from scenekit.kernels.march import Marched
from scenekit.kernels.ray_points import ray_points
from scenekit.kernels.running_sums import running_sums

ROUND = 24  # samples a ray is asked for in one round
# Of one later, when few rays are left, and no more than the first round asked for in all: a GPU waits for the host in
# every round, whatever is asked.
WIDEST = {"cpu": ROUND, "cuda": 1024}


class Reached(NamedTuple):
    """The samples that light reaches, packed ray after ray, and what the field said about them."""

    marched: Marched
    density: Float[Tensor, " S"]
    features: Float[Tensor, "S F"]


@torch.no_grad()
def reached(field: Medium, rays: Rays, marched: Marched) -> Reached:
    """Ask for densities front to back; keep every sample before which at least 1e-4 of the light is left."""
    lit, densities, features = [], [], []
    for index, density, feature in _rounds(field, rays, marched):
        lit.append(index)
        densities.append(density)
        features.append(feature)
    index = torch.cat(lit)
    place = torch.full((len(marched.distances),), -1, device=index.device)
    place[index] = torch.arange(len(index), device=index.device)
    index = (place >= 0).nonzero().squeeze(-1)
    order = place[index]
    kept = Marched(marched.distances[index], marched.deltas[index], torch.searchsorted(index, marched.offsets))
    return Reached(kept, torch.cat(densities)[order], torch.cat(features)[order])


def first_samples(marched: Marched, counts: Int[Tensor, " R"]) -> Marched:
    """The first ``counts`` samples of every ray; none has fewer."""
    offsets = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
    moved = torch.repeat_interleave(marched.offsets[:-1] - offsets[:-1], counts)
    index = torch.arange(len(moved), device=moved.device) + moved
    return Marched(marched.distances[index], marched.deltas[index], offsets)


def _rounds(field: Medium, rays: Rays, marched: Marched) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Index, density and features of the lit samples, some samples further along every ray each time.

    A round is a table of rays by samples, with gaps where a ray has fewer: tables need no bookkeeping.
    """
    alive = marched.offsets.diff().nonzero().squeeze(-1)
    first, end = marched.offsets[:-1][alive], marched.offsets[1:][alive]
    thickness = torch.zeros_like(rays.z_per_distance[alive])
    widest = WIDEST[alive.device.type]
    rows, steps = ROUND * len(alive), torch.arange(widest, device=alive.device)
    yield _nothing(field, rays, marched)
    while len(alive):
        width = min(widest, rows // len(alive))
        index = first[:, None] + steps[:width]
        there = index < end[:, None]
        index = torch.minimum(index, end[:, None] - 1)
        owner = alive[:, None].expand_as(index)[there]
        asked = index[there]
        deltas = marched.deltas[asked]
        density, features = field.density(samples_at(rays, owner, marched.distances[asked], deltas))
        optical = thickness.new_zeros(index.shape)
        optical[there] = density * deltas
        through = running_sums(optical) + thickness[:, None]
        lit = ((through - optical)[there] < OPAQUE).nonzero().squeeze(-1)
        yield asked[lit], density[lit], features[lit]
        first = first + width
        thickness = through[:, -1]
        going = ((first < end) & (thickness < OPAQUE)).nonzero().squeeze(-1)
        alive, first, end, thickness = alive[going], first[going], end[going], thickness[going]


def samples_at(
    rays: Rays, owner: Int[Tensor, " S"], distances: Float[Tensor, " S"], deltas: Float[Tensor, " S"]
) -> Samples:
    """Points at ``distances`` on the rays that own them."""
    positions, directions = ray_points(rays.origins, rays.directions, owner, distances)
    return Samples(positions, directions, deltas, OnRays(rays, owner, distances))


def owners(marched: Marched) -> Int[Tensor, " S"]:
    """The ray of every sample."""
    if marched.owners is not None:
        return marched.owners
    return torch.repeat_interleave(marched.offsets.diff(), output_size=len(marched.distances))


def exclusive_sums(values: Float[Tensor, " S"], start: Int[Tensor, " S"]) -> Float[Tensor, " S"]:
    """Sums of ``values[start:i]``: over the earlier samples of the same ray, whose first sample is ``start``.

    Float64 inside, since the prefix runs over all rays.
    """
    prefix = torch.cat([values.new_zeros(1, dtype=torch.float64), running_sums(values.double())])
    return (prefix[:-1] - prefix[start]).to(values.dtype)


def _nothing(field: Medium, rays: Rays, marched: Marched) -> tuple[Tensor, Tensor, Tensor]:
    """A round without samples, so that the result has the field's shapes even when no ray has any."""
    none = marched.offsets[:0]
    density, features = field.density(samples_at(rays, none, marched.distances[:0], marched.deltas[:0]))
    return none, density, features
