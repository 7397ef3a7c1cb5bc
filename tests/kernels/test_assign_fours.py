import itertools

import pytest
import torch

from scenekit.kernels.assign_fours import assign_fours_, cells_of


def _grid(side: int, channels: int = 3):
    generator = torch.Generator().manual_seed(1)
    values, target = torch.randn(2, side, side, channels, generator=generator).unbind(0)
    return values, torch.arange(side * side).reshape(side, side), target, generator


def test_four_rows_take_the_best_of_all_24_arrangements():
    values, order, target, _ = _grid(2)
    rows, wants = values.reshape(4, -1).clone(), target.reshape(4, -1)
    best = min(float((rows[list(way)] - wants).square().sum()) for way in itertools.permutations(range(4)))
    assign_fours_(values, order, target, torch.arange(4)[None], 2, (0, 0))
    assert float((values - target).square().sum()) == pytest.approx(best, rel=1e-6)


def test_the_gain_is_the_fall_of_the_squared_distance():
    values, order, target, generator = _grid(64, 7)
    before = (values - target).double().square().sum()
    groups = torch.randperm(400, generator=generator).reshape(-1, 4)
    gain = assign_fours_(values, order, target, groups, 20, (50, 3))
    assert gain > 0
    assert gain == pytest.approx(float(before - (values - target).double().square().sum()), rel=1e-4)


def test_the_order_goes_with_the_rows_and_none_is_lost():
    values, order, target, generator = _grid(40)
    rows = values.reshape(-1, 3).clone()
    assign_fours_(values, order, target, torch.randperm(256, generator=generator).reshape(-1, 4), 16, (7, 39))
    assert torch.equal(order.reshape(-1).sort().values, torch.arange(1600))
    assert torch.equal(rows[order.reshape(-1)], values.reshape(-1, 3))
    assert not torch.equal(order.reshape(-1), torch.arange(1600))


def test_blocks_go_on_beyond_the_border_and_no_cell_comes_twice():
    cells = cells_of(torch.arange(16).reshape(4, 4), 10, 9, [4, 8, 7]).reshape(-1)
    assert len(cells) == 4 * 16
    assert len(cells.unique()) == len(cells)
    assert cells[:4].tolist() == [8 * 9 + 7, 8 * 9 + 8, 8 * 9 + 0, 8 * 9 + 1]


@pytest.mark.bad_input
def test_a_block_larger_than_the_grid_is_refused():
    values, order, target, _ = _grid(6)
    with pytest.raises(ValueError, match="side"):
        assign_fours_(values, order, target, torch.arange(4)[None], 7, (0, 0))


@pytest.mark.bad_input
def test_cells_outside_of_a_block_are_refused():
    values, order, target, _ = _grid(6)
    with pytest.raises(ValueError, match="groups"):
        assign_fours_(values, order, target, torch.arange(14, 18)[None], 4, (0, 0))
