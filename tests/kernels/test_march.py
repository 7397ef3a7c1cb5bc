from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from scenekit.kernels.march import MARCH, Marched, StepRule, march
from scenekit.kernels.ray_cube import ray_cube

EQUAL = StepRule(0.01, 0.01)
CONE = StepRule(2 * math.sqrt(3) / 1024, 0.5, 1 / 64)


def _rays(count: int, reach: float = 1.0, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    origins = (torch.rand(count, 3, generator=generator) * 4 - 2) * reach
    towards = (torch.rand(count, 3, generator=generator) * 1.6 - 0.8) * reach
    return origins, torch.nn.functional.normalize(towards - origins, dim=-1)


def _occupancy(cascades: int, grid: int, share: float = 0.03) -> torch.Tensor:
    """Clumps of cells, so that there is both empty space to skip and detail."""
    generator = torch.Generator().manual_seed(1)
    coarse = torch.rand(cascades, 4, 4, 4, generator=generator) < 0.3
    fine = torch.rand(cascades, grid, grid, grid, generator=generator) < share
    wide = torch.nn.functional.interpolate(coarse[None].float(), size=(grid,) * 3)[0].bool()
    return (fine & wide) | (torch.rand(cascades, grid, grid, grid, generator=generator) < share / 100)


def _march(origins, directions, occupancy, rule, max_samples=100_000, seed=2) -> Marched:
    near, far = ray_cube(origins, directions, 2.0 ** (len(occupancy) - 1))
    jitter = torch.rand(len(near), generator=torch.Generator().manual_seed(seed))
    return march(origins, directions, near, far, occupancy, jitter, rule, max_samples)


def _by_reference(*arguments: Any, capacity: int | None = None, counts: torch.Tensor | None = None) -> Marched:
    rays, rule, most = arguments[:6], arguments[6], arguments[7]
    packed = rule.packed(torch.float32, torch.device("cpu"))
    return Marched(*MARCH.reference(*rays, packed, most, -1 if capacity is None else capacity, counts, None))


def _cells_are_occupied(points: torch.Tensor, deltas: torch.Tensor, occupancy: torch.Tensor) -> torch.Tensor:
    """The definition: from the coarsest cascade to the finest, the last that may answer does."""
    cascades, grid = occupancy.shape[:2]
    answer = torch.zeros(len(points), dtype=torch.bool)
    for k in reversed(range(cascades)):
        fits = points.abs().amax(-1) <= 2.0**k
        if k < cascades - 1:
            fits &= deltas <= 2 * 2.0**k / grid
        x, y, z = ((points / 2.0**k + 1) * (grid / 2)).long().clamp(0, grid - 1).unbind(-1)
        answer = torch.where(fits, occupancy[k, x, y, z], answer)
    return answer


@pytest.mark.parametrize("rule", [EQUAL, CONE], ids=["equal", "cone"])
@pytest.mark.parametrize(("cascades", "grid"), [(1, 64), (1, 10), (3, 32), (4, 64), (8, 16), (2, 12)])
def test_skipping_never_changes_where_samples_stand(cascades: int, grid: int, rule: StepRule):
    origins, directions = _rays(200, 2.0 ** (cascades - 1) / 2)
    occupancy = _occupancy(cascades, grid)
    sparse = _march(origins, directions, occupancy, rule)
    dense = _march(origins, directions, torch.ones_like(occupancy), rule)
    owners = torch.repeat_interleave(dense.offsets.diff())
    positions = origins[owners] + directions[owners] * dense.distances[:, None]
    kept = _cells_are_occupied(positions, dense.deltas, occupancy)
    assert torch.equal(sparse.distances, dense.distances[kept])
    assert torch.equal(sparse.deltas, dense.deltas[kept])
    assert torch.equal(sparse.offsets.diff(), torch.bincount(owners[kept], minlength=200))


@pytest.mark.parametrize("rule", [EQUAL, CONE], ids=["equal", "cone"])
@pytest.mark.parametrize("cap", [7, 100_000])
def test_both_bodies_choose_the_same_samples(rule: StepRule, cap: int):
    origins, directions = _rays(1000, 4.0)
    occupancy = _occupancy(4, 64)
    near, far = ray_cube(origins, directions, 8.0)
    jitter = torch.rand(1000, generator=torch.Generator().manual_seed(3))
    arguments = (origins, directions, near, far, occupancy, jitter, rule, cap)
    found = march(*arguments)
    wanted = _by_reference(*arguments)
    assert len(found.distances) > 1000
    assert all(torch.equal(a, b) for a, b in zip(found[:3], wanted[:3], strict=True))
    assert found.offsets.diff().max() <= cap


def test_a_cap_keeps_the_first_samples():
    origins, directions = _rays(100)
    occupancy = _occupancy(1, 32)
    whole = _march(origins, directions, occupancy, EQUAL)
    capped = _march(origins, directions, occupancy, EQUAL, max_samples=5)
    firsts = [d[:5] for d in whole.distances.split(whole.offsets.diff().tolist())]
    assert torch.equal(capped.distances, torch.cat(firsts))


def _arguments(count: int) -> tuple[Any, ...]:
    origins, directions = _rays(count, 2.0)
    near, far = ray_cube(origins, directions, 4.0)
    jitter = torch.rand(count, generator=torch.Generator().manual_seed(4))
    return origins, directions, near, far, _occupancy(3, 32), jitter, CONE, 100


@pytest.mark.parametrize("body", [march, _by_reference])
def test_rays_that_have_no_room_are_left_out_whole(body):
    arguments = _arguments(300)
    whole = march(*arguments)
    counts, ends = whole.offsets.diff(), whole.offsets[1:]
    capacity = int(ends[-1]) // 2
    found = body(*arguments, capacity=capacity)
    fits = ends <= capacity
    used = int(ends[fits].max())
    assert 0 < used < capacity
    assert found.needed == whole.needed == ends[-1]
    assert torch.equal(found.left_out, ~fits)
    assert torch.equal(found.offsets.diff(), torch.where(fits, counts, 0))
    wanted = torch.repeat_interleave(found.offsets.diff(), output_size=used)
    assert torch.equal(found.owners[:used], wanted)
    assert (found.owners[used:] == 299).all()
    for one, other in zip(found[:2], whole[:2], strict=True):
        assert len(one) == capacity
        assert torch.equal(one[:used], other[:used])
        assert not one[used:].any()


@pytest.mark.parametrize("body", [march, _by_reference])
@pytest.mark.parametrize("capacity", [None, 0, 2000, 100_000])
def test_rays_take_as_many_rows_as_they_are_told(body, capacity: int | None):
    arguments = _arguments(300)
    whole = march(*arguments)
    counts = torch.arange(300) % 12
    assert (counts > whole.offsets.diff()).any()
    found = body(*arguments, counts=counts, capacity=capacity)
    every = [d.split(whole.offsets.diff().tolist()) for d in whole[:2]]
    for r in range(300):
        begin, end = found.offsets[r : r + 2].tolist()
        wanted = 0 if capacity is not None and counts[: r + 1].sum() > capacity else int(counts[r])
        assert end - begin == wanted
        for one, other in zip(found[:2], every, strict=True):
            there = min(wanted, len(other[r]))
            assert torch.equal(one[begin : begin + there], other[r][:there])
            assert not one[begin + there : end].any()
    assert found.needed == counts.sum()
    assert len(found.distances) == (counts.sum() if capacity is None else capacity)


def test_a_rule_with_more_powers_than_it_needs_makes_the_same_steps():
    arguments = _arguments(100)
    packed = CONE.packed(torch.float32, torch.device("cpu"), powers=2000)
    assert len(packed) == 2006
    asked, wanted = (*arguments[:6], packed, 100), march(*arguments)
    for found in (march(*asked), MARCH.reference(*asked, -1, None, None)):
        assert all(torch.equal(a, b) for a, b in zip(found[:3], wanted[:3], strict=True))


def test_equal_steps_stand_between_near_and_far():
    origins, directions = torch.zeros(1, 3), torch.tensor([[0.0, 1.0, 0.0]])
    near, far = torch.tensor([0.2]), torch.tensor([0.5])
    full = torch.ones(1, 8, 8, 8, dtype=torch.bool)
    found = march(origins, directions, near, far, full, torch.tensor([0.5]), StepRule(0.1, 0.1), 100)
    torch.testing.assert_close(found.distances, torch.tensor([0.3, 0.4]))
    torch.testing.assert_close(found.deltas, torch.full((2,), 0.1))
    assert found.offsets.tolist() == [0, 2]


def test_steps_grow_with_distance_and_touch_each_other():
    origins, directions = torch.zeros(1, 3), torch.tensor([[1.0, 0.0, 0.0]])
    full = torch.ones(8, 8, 8, 8, dtype=torch.bool)
    rule = StepRule(0.01, 0.5, 1 / 16)
    found = march(origins, directions, torch.zeros(1), torch.tensor([100.0]), full, torch.zeros(1), rule, 100_000)
    begins = found.distances - found.deltas / 2
    wanted = (begins * rule.cone).clamp(rule.smallest, rule.largest)
    torch.testing.assert_close(found.deltas, wanted, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(begins[1:], (begins + found.deltas)[:-1], rtol=1e-5, atol=1e-6)
    assert begins[0] == 0
    assert abs(begins[-1] + found.deltas[-1] - 100) < 0.5


@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_rays_along_an_axis_visit_its_cells(axis: int, sign: float):
    occupancy = torch.zeros(1, 16, 16, 16, dtype=torch.bool)
    where = [3, 9, 14]
    index = [5, 5, 5]
    for cell in where:
        index[axis] = cell
        occupancy[(0, *index)] = True
    origin = torch.full((1, 3), -1 + 5.5 / 8)
    origin[0, axis] = -3 * sign
    direction = torch.zeros(1, 3)
    direction[0, axis] = sign
    found = _march(origin, direction, occupancy, StepRule(0.025, 0.025))
    position = -3 * sign + found.distances * sign
    cells = ((position + 1) * 8).long().tolist()
    assert cells == sorted(cells, reverse=sign < 0)
    assert {cell: cells.count(cell) for cell in where} == dict.fromkeys(where, 5)
    assert len(cells) == 15


def test_rays_that_miss_have_no_samples_and_rays_inside_begin_at_once():
    origins = torch.tensor([[3.0, 3.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 2.0], [1.0, 0.0, -4.0]])
    directions = torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, 0.0, 1.0], [0.0, 0.0, 1.0]])
    near, far = ray_cube(origins, directions, 1.0)
    torch.testing.assert_close(near, torch.tensor([0.0, 0.0, 0.0, 3.0]))
    torch.testing.assert_close(far, torch.tensor([0.0, 1.0, 0.0, 5.0]))
    full = torch.ones(1, 4, 4, 4, dtype=torch.bool)
    found = march(origins, directions, near, far, full, torch.zeros(4), StepRule(0.1, 0.1), 100)
    assert found.offsets.diff().tolist() == [0, 10, 0, 20]


def test_a_ray_without_an_end_stops_at_the_largest_cascade():
    origins, directions = _rays(50, 2.0)
    occupancy = _occupancy(3, 16, 0.3)
    zero, forever = torch.zeros(50), torch.full((50,), math.inf)
    found = march(origins, directions, zero, forever, occupancy, zero, CONE, 100_000)
    wanted = _by_reference(origins, directions, zero, forever, occupancy, zero, CONE, 100_000)
    assert len(found.distances) > 0
    assert all(torch.equal(a, b) for a, b in zip(found[:3], wanted[:3], strict=True))


def test_what_is_not_a_number_is_not_sampled():
    broken = torch.full((3, 3), math.nan)
    full = torch.ones(2, 8, 8, 8, dtype=torch.bool)
    found = march(broken, broken, broken[0], broken[0], full, broken[0], EQUAL, 10)
    assert found.offsets[-1] == 0


@pytest.mark.bad_input
def test_wrong_occupancy_is_refused_by_name():
    rays = (torch.zeros(1, 3), torch.ones(1, 3), torch.zeros(1), torch.ones(1))
    with pytest.raises(ValueError, match="occupancy: wanted a multiple of 4"):
        march(*rays, torch.ones(2, 6, 6, 6, dtype=torch.bool), torch.zeros(1), EQUAL, 1)
    with pytest.raises(ValueError, match="occupancy: wanted bool"):
        march(*rays, torch.ones(2, 8, 8, 8), torch.zeros(1), EQUAL, 1)
    whole = (*rays, torch.ones(1, 8, 8, 8, dtype=torch.bool), torch.zeros(1))
    with pytest.raises(ValueError, match="counts: wanted int64"):
        march(*whole, EQUAL, 1, counts=torch.ones(1, dtype=torch.int32))
    with pytest.raises(ValueError, match="capacity: wanted 0 or more"):
        march(*whole, EQUAL, 1, capacity=-1)
    with pytest.raises(ValueError, match="rule: wanted a packed rule"):
        march(*whole, torch.ones(6), 1)
    with pytest.raises(ValueError, match="StepRule"):
        StepRule(0.0, 1.0)
