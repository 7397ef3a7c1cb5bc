import pytest
import torch

from scenekit.kernels.grid_sort import neighbour_variance, sort_into_grid


def _rows(side: int, channels: int = 3) -> torch.Tensor:
    return torch.rand(side * side, channels, generator=torch.Generator().manual_seed(5))


def test_sorting_is_a_permutation_that_makes_neighbours_alike():
    rows = _rows(48)
    order = sort_into_grid(rows, torch.Generator().manual_seed(0))
    assert torch.equal(order.sort().values, torch.arange(len(rows)))
    # Three uniform channels on a surface: a tenth of the shuffled grid's variance is what PLAS reaches at this size.
    assert neighbour_variance(rows[order]) < 0.13 * neighbour_variance(rows)


def test_a_shuffled_ramp_becomes_smooth_again():
    rows = torch.cartesian_prod(torch.linspace(0, 1, 32), torch.linspace(0, 1, 32))
    rows = rows[torch.randperm(len(rows), generator=torch.Generator().manual_seed(1))]
    order = sort_into_grid(rows, torch.Generator().manual_seed(0), improvement=1e-5)
    grid = rows[order].reshape(32, 32, 2)
    assert float(grid.diff(dim=0).norm(dim=-1).mean()) < 0.08  # shuffled: 0.52


def test_the_same_generator_gives_the_same_order():
    rows = _rows(20)
    first, second = (sort_into_grid(rows, torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(first, second)


def test_a_small_radius_keeps_the_large_order():
    rows = _rows(40)
    rows = rows[sort_into_grid(rows, torch.Generator().manual_seed(0))]
    again = sort_into_grid(rows, torch.Generator().manual_seed(1), radius=2.0)
    moved = torch.stack([again // 40 - torch.arange(1600) // 40, again % 40 - torch.arange(1600) % 40])
    assert float(moved.double().abs().median()) <= 2
    assert neighbour_variance(rows[again]) <= 1.05 * neighbour_variance(rows)


@pytest.mark.parametrize("count", [0, 1, 4, 9, 16])
def test_tiny_grids_are_sorted_too(count: int):
    order = sort_into_grid(_rows(5)[:count], torch.Generator().manual_seed(0))
    assert torch.equal(order.sort().values, torch.arange(count))


@pytest.mark.bad_input
def test_a_count_that_is_no_square_is_refused():
    with pytest.raises(ValueError, match="square"):
        sort_into_grid(torch.zeros(10, 2))
