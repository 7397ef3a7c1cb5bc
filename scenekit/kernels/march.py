"""Where rays are sampled: steps that grow with distance, kept where nested occupancy grids are occupied.

Cascade k of K covers [-2^k, 2^k]^3 of ``scene`` with G^3 cells. A point belongs to the smallest cascade that
holds it and whose cells are no shorter than the step (instant-ngp, appendix E.1). The steps of a ray form a
lattice that depends on ``near``, the jitter and the rule alone: equal steps at first, steps in proportion to
the distance from ``smallest / cone`` on, equal ones again from ``largest / cone`` on. A sample stands in the
middle of its step. Occupancy only chooses among the steps; it never moves them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from functools import lru_cache
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from scenekit.core.checks import check_same_kind, check_shape
from scenekit.kernels import native
from scenekit.kernels.gpu import march as gpu
from scenekit.kernels.op import register

MARGIN = 1.001  # a cube so much larger holds every position that rounds into the cube
MANY_STEPS = 2.0**30
BLOCK = 32  # steps that the reference looks at together


@dataclass(frozen=True)
class StepRule:
    """``dt(t) = clamp(cone * t, smallest, largest)``.

    Attributes:
        smallest: shortest step, in scene units.
        largest: longest step, in scene units.
        cone: growth of the step per unit of distance; 0 makes all steps ``smallest``.
    """

    smallest: float
    largest: float
    cone: float = 0.0

    def __post_init__(self) -> None:
        if not 0 < self.smallest <= self.largest < math.inf:
            raise ValueError(f"StepRule: wanted 0 < smallest <= largest, found {self.smallest} and {self.largest}")
        if not 0 <= self.cone <= 1:
            raise ValueError(f"cone: wanted 0 to 1, found {self.cone}")


class Marched(NamedTuple):
    """Samples of all rays, packed ray after ray.

    Attributes:
        distances: along the ray, of the middle of each step [S].
        deltas: length of each step [S].
        offsets: int64, first sample of every ray and the number of samples [R + 1].
    """

    distances: Float[Tensor, " S"]
    deltas: Float[Tensor, " S"]
    offsets: Int[Tensor, " R1"]


def march(
    origins: Float[Tensor, "R 3"],
    directions: Float[Tensor, "R 3"],
    near: Float[Tensor, " R"],
    far: Float[Tensor, " R"],
    occupancy: Bool[Tensor, "K G G G"],
    jitter: Float[Tensor, " R"],
    rule: StepRule,
    max_samples: int,
) -> Marched:
    """The first ``max_samples`` steps of each ray whose middle is before ``far`` and in an occupied cell.

    ``directions`` are unit vectors; distances are in scene units; the first step begins at
    ``near + jitter * dt(near)``, jitter in [0, 1). ``occupancy[k, x, y, z]``. Not differentiable. Raises
    ValueError for a wrong shape, or a side of the grid that is no multiple of 4 where cascades are nested.
    """
    sizes: dict[str, int] = {}
    check_shape("origins", origins, ("R", 3), sizes)
    check_shape("directions", directions, ("R", 3), sizes)
    for name, tensor in (("near", near), ("far", far), ("jitter", jitter)):
        check_shape(name, tensor, ("R",), sizes)
    check_shape("occupancy", occupancy, ("K", "G", "G", "G"), sizes)
    check_same_kind("origins", origins, directions=directions, near=near, far=far, jitter=jitter)
    if occupancy.dtype != torch.bool or sizes["K"] < 1 or sizes["G"] < 1:
        raise ValueError(f"occupancy: wanted bool cells, found {occupancy.dtype} {list(occupancy.shape)}")
    if sizes["K"] > 1 and sizes["G"] % 4:
        raise ValueError(f"occupancy: wanted a multiple of 4 cells a side, found {sizes['G']}")
    return Marched(*MARCH(origins, directions, near, far, occupancy, jitter, list(astuple(rule)), max_samples))


def ray_cube(
    origins: Float[Tensor, "R 3"], directions: Float[Tensor, "R 3"], extent: float
) -> tuple[Float[Tensor, " R"], Float[Tensor, " R"]]:
    """Distances at which rays enter (at least 0) and leave [-extent, extent]^3; a miss has far <= near."""
    inverse = 1 / directions
    low, high = (-extent - origins) * inverse, (extent - origins) * inverse
    # A ray along a face divides 0 by 0: along an axis that it does not move, only the origin counts.
    still, inside = directions == 0, origins.abs() <= extent
    nearest = torch.where(still, torch.where(inside, -math.inf, math.inf), torch.minimum(low, high))
    farthest = torch.where(still, torch.where(inside, math.inf, -math.inf), torch.maximum(low, high))
    near = nearest.amax(-1).clamp(min=0)
    far = farthest.amin(-1)
    return torch.where(near < far, near, 0), torch.where(near < far, far, 0)


@lru_cache(maxsize=64)
def packed_rule(rule: tuple[float, ...], dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """The rule and what follows from it, as the kernels hold it; and the powers of ``1 + cone``."""
    smallest, largest, cone = rule
    growth = math.log1p(cone)
    count = math.ceil(math.log(largest / smallest) / growth) + 3 if cone > 0 else 1
    powers = torch.exp(torch.arange(count, dtype=torch.float64) * growth)
    widening, widest = (smallest / cone, largest / cone) if cone > 0 else (math.inf, math.inf)
    constants = (smallest, largest, cone, widening, widest, growth / math.log(2))
    return torch.tensor(constants, dtype=dtype), powers.to(dtype)


class _Lattice:
    """Steps of rays by their index; every product and sum is rounded as the kernels round it."""

    def __init__(self, near: Tensor, jitter: Tensor, rule: Sequence[float]) -> None:
        constants, powers = (x.to(near.device) for x in packed_rule(tuple(rule), near.dtype))
        self.smallest, self.largest, self.cone, widening, widest, _ = constants.unbind()
        self.powers = powers
        self.first = near + jitter * (near * self.cone).clamp(self.smallest, self.largest)
        equal = ((widening - self.first) / self.smallest).clamp(0, MANY_STEPS).ceil()
        self.equal = equal.long()
        self.second = self.first + equal * self.smallest
        growing = torch.searchsorted(powers, widest / self.second)
        self.growing = growing.clamp(max=len(powers) - 1)
        self.third = self.second * powers[self.growing]

    def steps(self, rays: Tensor, indices: Tensor) -> tuple[Tensor, Tensor]:
        """Middles and lengths [A B] of steps ``indices`` [B] of ``rays`` [A]."""
        equal, growing = self.equal[rays, None], self.growing[rays, None]
        grown = indices - equal
        at_first = self.first[rays, None] + indices * self.smallest
        at_second = self.second[rays, None] * self.powers[grown.clamp(0, len(self.powers) - 1)]
        at_third = self.third[rays, None] + (grown - growing) * self.largest
        is_first, is_second = indices < equal, grown < growing
        begins = torch.where(is_first, at_first, torch.where(is_second, at_second, at_third))
        lengths = torch.where(is_second, begins * self.cone, self.largest)
        lengths = torch.where(is_first, self.smallest, lengths)
        return begins + lengths * 0.5, lengths


def _occupied(positions: Tensor, lengths: Tensor, occupancy: Tensor) -> Tensor:
    """Whether the cells of ``positions`` [.. 3] are occupied; nothing is outside the largest cascade."""
    cascades, grid = occupancy.shape[:2]
    half_sides = [2.0**k for k in range(cascades)]
    reach = positions.abs().amax(-1)
    by_place = sum(((reach > h).long() for h in half_sides), torch.zeros_like(reach, dtype=torch.long))
    by_step = sum(((lengths > 2 / grid * h).long() for h in half_sides[:-1]), torch.zeros_like(by_place))
    inside = by_place < cascades
    k = torch.maximum(by_place, by_step).clamp(max=cascades - 1)
    half_side = torch.tensor(half_sides, dtype=positions.dtype, device=positions.device)[k]
    scaled = (positions / half_side[..., None] + 1) * (grid / 2)
    x, y, z = torch.where(inside[..., None], scaled, 0).long().clamp(0, grid - 1).unbind(-1)
    return inside & occupancy[k, x, y, z]


def _reference(
    origins: Tensor,
    directions: Tensor,
    near: Tensor,
    far: Tensor,
    occupancy: Tensor,
    jitter: Tensor,
    rule: Sequence[float],
    max_samples: int,
) -> tuple[Tensor, Tensor, Tensor]:
    dtype = torch.promote_types(origins.dtype, torch.float32)
    origins, directions, near, far = (x.to(dtype) for x in (origins, directions, near, far))
    lattice = _Lattice(near, jitter.to(dtype), rule)
    # Beyond the largest cascade nothing is occupied; without this a far of infinity would never end.
    _, leave = ray_cube(origins, directions, 2.0 ** (occupancy.shape[0] - 1) * MARGIN)
    leave = torch.minimum(far, leave)
    taken = torch.zeros(len(near), dtype=torch.long, device=near.device)
    rays, start, parts = torch.arange(len(near), device=near.device), 0, []
    while len(rays):
        middles, lengths = lattice.steps(rays, start + torch.arange(BLOCK, device=near.device))
        going = middles < leave[rays, None]
        positions = origins[rays, None] + directions[rays, None] * middles[..., None]
        kept = going & _occupied(positions, lengths, occupancy)
        ranks = taken[rays, None] + kept.cumsum(1)
        kept &= ranks <= max_samples
        parts.append((rays[:, None].expand_as(kept)[kept], middles[kept], lengths[kept]))
        taken[rays] += kept.sum(1)
        rays, start = rays[going[:, -1] & (taken[rays] < max_samples)], start + BLOCK
    parts.append((rays[:0], near[:0], near[:0]))
    owners, middles, lengths = (torch.cat(column) for column in zip(*parts, strict=True))
    order = owners.argsort(stable=True)
    offsets = torch.cat([taken.new_zeros(1), taken.cumsum(0)])
    return middles[order].to(jitter.dtype), lengths[order].to(jitter.dtype), offsets


def _cpu(
    origins: Tensor,
    directions: Tensor,
    near: Tensor,
    far: Tensor,
    occupancy: Tensor,
    jitter: Tensor,
    rule: Sequence[float],
    max_samples: int,
) -> tuple[Tensor, Tensor, Tensor]:
    if not native.serves(origins, directions, near, far, jitter):
        return _reference(origins, directions, near, far, occupancy, jitter, rule, max_samples)
    rays = [x.contiguous() for x in (origins, directions, near, far, jitter)]
    count, (cascades, grid) = len(near), occupancy.shape[:2]
    constants, powers = packed_rule(tuple(rule), torch.float32)
    offsets, handle = torch.empty(count + 1, dtype=torch.int64), torch.empty(1, dtype=torch.int64)
    cells = (occupancy.contiguous(), cascades, grid)
    steps = (constants, powers, len(powers), max_samples)
    native.call("march", *rays, count, *cells, *steps, offsets, handle)
    distances, deltas = (near.new_empty(int(offsets[-1])) for _ in range(2))
    native.call("march_take", handle, offsets, count, distances, deltas)
    return distances, deltas, offsets


def _cuda(
    origins: Tensor,
    directions: Tensor,
    near: Tensor,
    far: Tensor,
    occupancy: Tensor,
    jitter: Tensor,
    rule: Sequence[float],
    max_samples: int,
) -> tuple[Tensor, Tensor, Tensor]:
    constants = packed_rule(tuple(rule), torch.float32)
    return gpu.march((origins, directions, near, far, jitter), occupancy, constants, max_samples)


def _fake(origins: Tensor, *_: object) -> tuple[Tensor, Tensor, Tensor]:
    samples = torch.library.get_ctx().new_dynamic_size()
    offsets = origins.new_empty(origins.shape[0] + 1, dtype=torch.int64)
    return origins.new_empty(samples), origins.new_empty(samples), offsets


MARCH = register(
    "march(Tensor origins, Tensor directions, Tensor near, Tensor far, Tensor occupancy, Tensor jitter, "
    "float[] rule, int max_samples) -> (Tensor distances, Tensor deltas, Tensor offsets)",
    _reference,
    fake=_fake,
    cpu=_cpu,
    cuda=_cuda,
)
