from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from scenekit.kernels import GridLayout, hash_grid
from scenekit.kernels.hash_grid import HASH_GRID


def _inputs(layout: GridLayout, features: int, rows: int = 400) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(2)
    positions = torch.rand(rows, layout.dimensions, generator=generator)
    return positions, torch.randn(layout.rows, features, generator=generator)


def _results(positions: Tensor, table: Tensor, layout: GridLayout) -> list[Tensor]:
    positions, table = positions.clone().requires_grad_(), table.clone().requires_grad_()
    outputs = hash_grid(positions, table, layout)
    seed = torch.randn(outputs.shape, generator=torch.Generator().manual_seed(6)).to(outputs.dtype)
    return [outputs, *torch.autograd.grad(outputs, [positions, table], seed)]


@pytest.mark.parametrize("dimensions", [1, 2, 3, 4])
@pytest.mark.parametrize("features", [1, 2, 3, 4, 8, 28])
def test_values_and_gradients_match_float64(dimensions: int, features: int):
    layout = GridLayout.of(dimensions, levels=5, log2_table=8, base_resolution=4, growth=1.5)
    positions, table = _inputs(layout, features)
    found = _results(positions, table, layout)
    for a, b in zip(found, _results(positions.double(), table.double(), layout), strict=True):
        assert (a.double() - b).abs().max() <= 3e-5 * b.abs().max()


@pytest.mark.parametrize("features", [2, 4])
def test_faces_edges_and_corners_of_the_cube_match_float64(features: int):
    layout = GridLayout.of(3, levels=4, log2_table=12, base_resolution=3, growth=1.6)
    sides = torch.tensor([0.0, 0.25, 0.5, 1.0])
    positions = torch.cartesian_prod(sides, sides, sides)
    table = _inputs(layout, features)[1]
    wanted = hash_grid(positions.double(), table.double(), layout)
    torch.testing.assert_close(hash_grid(positions, table, layout).double(), wanted, rtol=1e-5, atol=1e-5)


def test_positions_outside_the_cube_or_not_numbers_read_only_the_table():
    layout = GridLayout.of(3, levels=4, log2_table=8, base_resolution=3, growth=2.0)
    table = _inputs(layout, 4)[1]
    outside = torch.tensor([[-0.3, 0.5, 0.5], [1.7, -4.0, 0.2], [0.1, 0.2, 30.0], [-1.0, -1.0, -1.0]])
    wanted = hash_grid(outside.double(), table.double(), layout)
    torch.testing.assert_close(hash_grid(outside, table, layout).double(), wanted, rtol=1e-4, atol=1e-4)
    strange = torch.tensor([[math.nan, 0.5, 0.5], [math.inf, 1e30, -1e30]])
    assert hash_grid(strange, table, layout).shape == (2, 16)


@pytest.mark.parametrize("dimensions", [1, 2, 3])
def test_a_dense_layout_is_exact_on_linear_functions_up_to_the_faces(dimensions: int):
    layout = GridLayout.dense(dimensions, (5,))
    ticks = (torch.arange(7, dtype=torch.float64) - 0.5) / 5  # where the vertices stand
    vertices = torch.cartesian_prod(*[ticks] * dimensions).reshape(-1, dimensions).flip(-1)  # x is fastest
    slopes = torch.tensor([2.0, -1.0, 0.5], dtype=torch.float64)[:dimensions]
    sides = torch.linspace(0, 1, 9, dtype=torch.float64)
    positions = torch.cartesian_prod(*[sides] * dimensions).reshape(-1, dimensions)
    table = (vertices @ slopes)[:, None]
    torch.testing.assert_close(hash_grid(positions, table, layout), (positions @ slopes)[:, None])
    found = hash_grid(positions.float(), table.float(), layout)
    torch.testing.assert_close(found, (positions.float() @ slopes.float())[:, None], rtol=1e-5, atol=1e-5)


def test_layout_counts_vertices_as_instant_ngp_does():
    layout = GridLayout.of(3, levels=16, log2_table=19, base_resolution=16, growth=1.38191)
    assert layout.resolutions[:3] == (16, 23, 31)  # ceil(16 * 1.38191^l - 1) + 1
    assert layout.level_rows[:3] == (
        4096,
        12168,
        29792,
    )  # 23^3 = 12167 and 31^3 = 29791, up to multiples of 8
    assert layout.level_rows[-1] == 2**19
    assert abs(layout.resolutions[-1] - 2048) <= 1
    powers = GridLayout.of(3, levels=8, log2_table=17, base_resolution=16, growth=2.0)
    assert powers.resolutions == tuple(16 * 2**level for level in range(8))


def test_a_dense_level_is_row_major_with_x_fastest_and_half_a_cell_shifted():
    layout = GridLayout(3, (3.0,), (4,), (0, 64))
    table = torch.arange(64.0)[:, None]
    vertices = torch.tensor([[1.0, 2.0, 3.0], [2.0, 1.0, 1.0]])
    positions = (vertices - 0.5) / 3.0
    wanted = vertices @ torch.tensor([1.0, 4.0, 16.0])
    torch.testing.assert_close(hash_grid(positions, table, layout)[:, 0], wanted, rtol=0, atol=1e-4)


def test_a_hashed_level_uses_the_published_primes():
    layout = GridLayout(3, (99.0,), (100,), (0, 1024))
    table = torch.arange(1024.0)[:, None]
    x, y, z = 40, 17, 83
    position = (torch.tensor([[x, y, z]], dtype=torch.float64) - 0.5) / 99.0
    row = (x ^ (y * 2654435761) ^ (z * 805459861)) % 2**32 % 1024
    assert hash_grid(position, table.double(), layout).item() == pytest.approx(row, abs=1e-6)


def test_a_linear_function_is_reproduced_with_its_slope():
    layout = GridLayout(2, (7.0,), (9,), (0, 88))
    index = torch.arange(88)
    vertices = torch.stack([index % 9, index // 9], -1).float()
    table = (2 * vertices[:, :1] - 3 * vertices[:, 1:]).contiguous()
    positions = torch.rand(50, 2, generator=torch.Generator().manual_seed(0)).requires_grad_()
    values = hash_grid(positions, table, layout)
    wanted = 2 * (positions[:, 0] * 7 + 0.5) - 3 * (positions[:, 1] * 7 + 0.5)
    torch.testing.assert_close(values[:, 0], wanted, rtol=1e-4, atol=1e-4)
    (slope,) = torch.autograd.grad(values.sum(), positions)
    torch.testing.assert_close(slope, torch.tensor([14.0, -21.0]).expand(50, 2), rtol=1e-4, atol=1e-3)


def test_table_gradient_sums_to_the_incoming_gradient():
    layout = GridLayout.of(3, levels=6, log2_table=10, base_resolution=4, growth=1.7)
    positions, table = _inputs(layout, 4, rows=5000)
    table.requires_grad_()
    (gradient,) = torch.autograd.grad(hash_grid(positions, table, layout).sum(), table)
    for begin, end in zip(layout.offsets, layout.offsets[1:], strict=False):
        torch.testing.assert_close(gradient[begin:end].sum(0), torch.full((4,), 5000.0), rtol=1e-4, atol=0)


@pytest.mark.compile
def test_op_traces_into_one_graph():
    layout = GridLayout.of(2, levels=2, log2_table=8, base_resolution=4, growth=2.0)
    positions, table = _inputs(layout, 2)
    lists = (list(layout.scales), list(layout.resolutions), list(layout.offsets))
    compiled = torch.compile(lambda x, t: HASH_GRID(x, t, *lists) * 2, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(positions, table), hash_grid(positions, table, layout) * 2)


@pytest.mark.bad_input
def test_wrong_arguments_are_named():
    layout = GridLayout.of(3, levels=2, log2_table=8, base_resolution=4, growth=2.0)
    positions, table = _inputs(layout, 2)
    with pytest.raises(ValueError, match=r"positions: wanted shape \[S 3\], found \[400, 2\]"):
        hash_grid(positions[:, :2], table, layout)
    with pytest.raises(ValueError, match="table: wanted shape"):
        hash_grid(positions, table[1:], layout)
    with pytest.raises(TypeError, match=r"positions: wanted torch\.float64"):
        hash_grid(positions, table.double(), layout)
    with pytest.raises(ValueError, match="a power of two where hashed, found 100"):
        GridLayout(3, (31.0,), (32,), (0, 100))
    with pytest.raises(ValueError, match="dimensions: wanted 1 to 7, found 8"):
        GridLayout(8, (1.0,), (2,), (0, 256))
