"""Where rays are sampled: steps that grow with distance, kept where nested occupancy grids are occupied.

Cascade k of K covers [-2^k, 2^k]^3 of ``scene`` with G^3 cells. A point belongs to the smallest cascade that
holds it and whose cells are no shorter than the step (instant-ngp, appendix E.1). The steps of a ray form a
lattice that depends on ``near``, the jitter and the rule alone: equal steps at first, steps in proportion to
the distance from ``smallest / cone`` on, equal ones again from ``largest / cone`` on. A sample stands in the
middle of its step. Occupancy only chooses among the steps; it never moves them.
"""

from __future__ import annotations

import math
from dataclasses import astuple, dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from scenekit.core.checks import check_same_kind, check_shape
from scenekit.core.rays import Cells
from scenekit.kernels import native
from scenekit.kernels.gpu import march as gpu
from scenekit.kernels.op import register
from scenekit.kernels.pack_cells import check_cells, packed_or_now
from scenekit.kernels.ray_cube import RAY_CUBE

CONSTANTS = 6  # of a packed rule; powers follow
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

    def packed(self, dtype: torch.dtype, device: torch.device, powers: int = 0) -> Float[Tensor, " P"]:
        """The rule and what follows from it, as operators read it; not to be written to.

        It ends in powers of ``1 + cone``, at least so many as are asked for: rules whose packed forms are of one
        length may take each other's place in memory that a captured graph reads.
        """
        return _packed(self, dtype, device, powers)


@lru_cache(maxsize=64)
def _packed(rule: StepRule, dtype: torch.dtype, device: torch.device, least: int) -> Tensor:
    smallest, largest, cone = astuple(rule)
    growth = math.log1p(cone)
    count = math.ceil(math.log(largest / smallest) / growth) + 3 if cone > 0 else 1
    powers = torch.exp(torch.arange(max(count, least), dtype=torch.float64) * growth)
    widening, widest = (smallest / cone, largest / cone) if cone > 0 else (math.inf, math.inf)
    constants = (smallest, largest, cone, widening, widest, growth / math.log(2))
    return torch.cat([torch.tensor(constants, dtype=torch.float64), powers]).to(device, dtype)


class Marched(NamedTuple):
    """Samples of all rays, packed ray after ray.

    Attributes:
        distances: along the ray, of the middle of each step [S].
        deltas: length of each step [S].
        offsets: int64, first sample of every ray and the end of the last one's [R + 1].
        needed: int64, how many samples there would be if all had room.
        left_out: which rays have no samples because the capacity was used up; None without one.
        owners: the ray of every row; rows that are nobody's are given to the last ray. None without a capacity.
    """

    distances: Float[Tensor, " S"]
    deltas: Float[Tensor, " S"]
    offsets: Int[Tensor, " R1"]
    needed: Int[Tensor, ""] | None = None
    left_out: Bool[Tensor, " R"] | None = None
    owners: Int[Tensor, " S"] | None = None


def march(  # noqa: PLR0913 (capacity and counts are asked for by name alone)
    origins: Float[Tensor, "R 3"],
    directions: Float[Tensor, "R 3"],
    near: Float[Tensor, " R"],
    far: Float[Tensor, " R"],
    occupancy: Bool[Tensor, "K G G G"] | Cells,
    jitter: Float[Tensor, " R"],
    rule: StepRule | Float[Tensor, " P"],
    max_samples: int,
    *,
    capacity: int | None = None,
    counts: Int[Tensor, " R"] | None = None,
) -> Marched:
    """The first ``max_samples`` steps of each ray whose middle is before ``far`` and in an occupied cell.

    ``directions`` are unit vectors; distances are in scene units; the first step begins at
    ``near + jitter * dt(near)``, jitter in [0, 1). Cells and ``rule`` may be packed already
    (:func:`~scenekit.kernels.pack_cells.pack_cells`, :meth:`StepRule.packed`).

    With ``counts`` (int64, not negative) each ray takes so many rows, the first of its samples; where it has fewer,
    distance and delta are 0 in the others. With a ``capacity`` there are that many rows and nothing is read back from
    a GPU. Rays have room in their order: one that would end beyond the capacity is left out whole, as are all behind
    it. Rows that belong to no ray hold zeros. Not differentiable.

    Raises ValueError for a wrong shape, a side of the grid that is no multiple of 4 where cascades are nested, or a
    capacity below 0, TypeError where dtypes or devices differ.
    """
    sizes: dict[str, int] = {}
    check_shape("origins", origins, ("R", 3), sizes)
    check_shape("directions", directions, ("R", 3), sizes)
    for name, tensor in (("near", near), ("far", far), ("jitter", jitter)):
        check_shape(name, tensor, ("R",), sizes)
    check_same_kind("origins", origins, directions=directions, near=near, far=far, jitter=jitter)
    cells = check_cells(occupancy)
    if counts is not None:
        check_shape("counts", counts, ("R",), sizes)
        if counts.dtype != torch.int64:
            raise ValueError(f"counts: wanted int64, found {counts.dtype}")
    if capacity is not None and capacity < 0:
        raise ValueError(f"capacity: wanted 0 or more, found {capacity}")
    along, steps = (origins, directions, near, far, cells.occupied, jitter), packed_rule(rule, near)
    room = -1 if capacity is None else capacity
    marched = Marched(*MARCH(*along, steps, max_samples, room, counts, cells.packed))
    return marched if capacity is not None else marched._replace(left_out=None, owners=None)


def packed_rule(rule: StepRule | Tensor, like: Tensor) -> Tensor:
    """A rule as operators over tensors such as ``like`` take it; raises ValueError where a packed one is too short."""
    if isinstance(rule, StepRule):
        return rule.packed(torch.promote_types(like.dtype, torch.float32), like.device)
    if rule.dim() != 1 or len(rule) <= CONSTANTS:
        raise ValueError(f"rule: wanted a packed rule, more than {CONSTANTS} numbers, found {list(rule.shape)}")
    return rule


class _Arguments(NamedTuple):
    """What the schema lists, in its order."""

    origins: Tensor
    directions: Tensor
    near: Tensor
    far: Tensor
    occupancy: Tensor
    jitter: Tensor
    rule: Tensor
    max_samples: int
    capacity: int
    counts: Tensor | None
    packed: Tensor | None

    @property
    def rays(self) -> tuple[Tensor, ...]:
        """In the order of the kernels."""
        return self.origins, self.directions, self.near, self.far, self.jitter


_Results = tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]


class _Lattice:
    """Steps of rays by their index; every product and sum is rounded as the kernels round it."""

    def __init__(self, near: Tensor, jitter: Tensor, rule: Tensor) -> None:
        constants, self.powers = rule.to(near.dtype).split([CONSTANTS, len(rule) - CONSTANTS])
        self.smallest, self.largest, self.cone, widening, widest, _ = constants.unbind()
        self.first = near + jitter * (near * self.cone).clamp(self.smallest, self.largest)
        equal = ((widening - self.first) / self.smallest).clamp(0, MANY_STEPS).ceil()
        self.equal = equal.long()
        self.second = self.first + equal * self.smallest
        growing = torch.searchsorted(self.powers, widest / self.second)
        self.growing = growing.clamp(max=len(self.powers) - 1)
        self.third = self.second * self.powers[self.growing]

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


def _reference(*arguments: Any) -> _Results:
    a = _Arguments(*arguments)
    dtype = torch.promote_types(a.origins.dtype, torch.float32)
    origins, directions, near, far, jitter = (x.to(dtype) for x in a.rays)
    lattice, most = _Lattice(near, jitter, a.rule), _most(a)
    # Beyond the largest cascade nothing is occupied; without this a far of infinity would never end.
    _, leave = RAY_CUBE.reference(origins, directions, 2.0 ** (a.occupancy.shape[0] - 1) * MARGIN, 0.0)
    leave = torch.minimum(far, leave)
    taken = torch.zeros(len(near), dtype=torch.long, device=near.device)
    rays, start, parts = torch.arange(len(near), device=near.device), 0, []
    while len(rays):
        middles, lengths = lattice.steps(rays, start + torch.arange(BLOCK, device=near.device))
        going = middles < leave[rays, None]
        positions = origins[rays, None] + directions[rays, None] * middles[..., None]
        kept = going & _occupied(positions, lengths, a.occupancy)
        ranks = taken[rays, None] + kept.cumsum(1)
        kept &= ranks <= most
        parts.append((rays[:, None].expand_as(kept)[kept], middles[kept], lengths[kept]))
        taken[rays] += kept.sum(1)
        rays, start = rays[going[:, -1] & (taken[rays] < most)], start + BLOCK
    parts.append((rays[:0], near[:0], near[:0]))
    owners, middles, lengths = (torch.cat(column) for column in zip(*parts, strict=True))
    order = owners.argsort(stable=True)
    dtype = a.jitter.dtype
    return arranged(middles[order].to(dtype), lengths[order].to(dtype), taken, a.capacity, a.counts)


def _most(a: _Arguments) -> int:
    """Samples that any ray is asked for."""
    return a.max_samples if a.counts is None or not len(a.counts) else min(a.max_samples, int(a.counts.max()))


def arranged(distances: Tensor, deltas: Tensor, found: Tensor, capacity: int, counts: Tensor | None) -> _Results:
    """The op's results, from all the samples that were ``found`` [R] in each ray."""
    kept = found if counts is None else counts
    ends = kept.cumsum(0)
    needed = ends[-1].clone() if len(ends) else ends.sum()
    left_out = ends > capacity if capacity >= 0 else ends.new_zeros(0, dtype=torch.bool)
    kept = torch.where(left_out, 0, kept) if capacity >= 0 else kept
    starts, offsets = (torch.cat([x.new_zeros(1), x.cumsum(0)]) for x in (found, kept))
    if counts is None and capacity < 0:
        return distances, deltas, offsets, needed, left_out, offsets.new_empty(0)
    taken = torch.minimum(found, kept)
    rays = torch.repeat_interleave(taken)
    place = torch.arange(len(rays), device=rays.device) - torch.cat([taken.new_zeros(1), taken.cumsum(0)])[rays]
    room = int(needed) if capacity < 0 else capacity
    to, of = place + offsets[rays], place + starts[rays]
    distances, deltas = (x.new_zeros(room).index_copy(0, to, x[of]) for x in (distances, deltas))
    owners = offsets.new_full((room if capacity >= 0 else 0,), max(0, len(kept) - 1))
    if capacity >= 0:
        owners[: int(offsets[-1])] = torch.repeat_interleave(kept)
    return distances, deltas, offsets, needed, left_out, owners


def _cpu(*arguments: Any) -> _Results:
    a = _Arguments(*arguments)
    if not native.serves(*a.rays, a.rule):
        return _reference(*arguments)
    rays, rule = [x.contiguous() for x in a.rays], a.rule.contiguous()
    count = len(a.near)
    offsets, handle = torch.empty(count + 1, dtype=torch.int64), torch.empty(1, dtype=torch.int64)
    cells = (packed_or_now(a.occupancy, a.packed), *a.occupancy.shape[:2])
    steps = (rule[:CONSTANTS], rule[CONSTANTS:], len(rule) - CONSTANTS, _most(a))
    native.call("march", *rays, count, *cells, *steps, offsets, handle)
    distances, deltas = (a.near.new_empty(int(offsets[-1])) for _ in range(2))
    native.call("march_take", handle, offsets, count, distances, deltas)
    return arranged(distances, deltas, offsets.diff(), a.capacity, a.counts)


def _cuda(*arguments: Any) -> _Results:
    a = _Arguments(*arguments)
    cells = gpu.PackedCells(packed_or_now(a.occupancy, a.packed), *a.occupancy.shape[:2])
    return gpu.march(a.rays, cells, a.rule, a.max_samples, a.capacity, a.counts)


def _fake(*arguments: Any) -> _Results:
    a = _Arguments(*arguments)
    rays = a.near.shape[0]
    samples = torch.library.get_ctx().new_dynamic_size() if a.capacity < 0 else a.capacity
    offsets = a.near.new_empty(rays + 1, dtype=torch.int64)
    told, kept = (rays, samples) if a.capacity >= 0 else (0, 0)
    left_out, owners = a.near.new_empty(told, dtype=torch.bool), offsets.new_empty(kept)
    return a.near.new_empty(samples), a.near.new_empty(samples), offsets, offsets.new_empty(()), left_out, owners


MARCH = register(
    "march(Tensor origins, Tensor directions, Tensor near, Tensor far, Tensor occupancy, Tensor jitter, "
    "Tensor rule, int max_samples, int capacity, Tensor? counts, Tensor? packed) "
    "-> (Tensor distances, Tensor deltas, Tensor offsets, Tensor needed, Tensor left_out, Tensor owners)",
    _reference,
    fake=_fake,
    cpu=_cpu,
    cuda=_cuda,
)
