from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from scenekit.kernels import GridLayout, hash_grid, native, simplex_grid, simplex_layout
from scenekit.kernels.grid_layout import PRIMES
from scenekit.kernels.simplex_grid import SIMPLEX_GRID

DIMENSIONS = [2, 3, 4, 5, 6]


def _layout(dimensions: int, log2_table: int = 9) -> GridLayout:
    """Dense levels first, hashed ones after them."""
    return simplex_layout(dimensions, levels=4, log2_table=log2_table, base_resolution=3, growth=1.6)


def _inputs(layout: GridLayout, features: int, rows: int = 300) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(2)
    positions = torch.rand(rows, layout.dimensions, generator=generator)
    return positions, torch.randn(layout.rows, features, generator=generator)


def _results(positions: Tensor, table: Tensor, layout: GridLayout) -> list[Tensor]:
    positions, table = positions.clone().requires_grad_(), table.clone().requires_grad_()
    outputs = simplex_grid(positions, table, layout)
    seed = torch.randn(outputs.shape, generator=torch.Generator().manual_seed(6)).to(outputs.dtype)
    return [outputs, *torch.autograd.grad(outputs, [positions, table], seed)]


def _one_level(dimensions: int, scale: float) -> GridLayout:
    """A dense level of any scale, which every vertex of the cube fits."""
    resolution = math.floor(scale * math.sqrt(dimensions + 1) + 0.5) + 2
    return GridLayout(dimensions, (scale,), (resolution,), (0, resolution**dimensions), simplices=True)


def _unskewed(layout: GridLayout) -> Tensor:
    """Where each row of a dense level is, in units of x, by the inverse of skewing."""
    dimensions, resolution = layout.dimensions, layout.resolutions[0]
    rows = torch.arange(layout.rows)
    y = torch.stack([rows // resolution**i % resolution for i in range(dimensions)], -1).double() - 0.5
    inverse = (1 - 1 / math.sqrt(dimensions + 1)) / dimensions
    return (y - inverse * y.sum(-1, keepdim=True)) / layout.scales[0]


@pytest.mark.parametrize("dimensions", [1, *DIMENSIONS])
@pytest.mark.parametrize("features", [1, 2, 4, 7, 8])
def test_values_and_gradients_match_float64(dimensions: int, features: int):
    layout = _layout(dimensions)
    positions, table = _inputs(layout, features)
    found = _results(positions, table, layout)
    for a, b in zip(found, _results(positions.double(), table.double(), layout), strict=True):
        assert (a.double() - b).abs().max() <= 3e-5 * b.abs().max()


@pytest.mark.parametrize("dimensions", DIMENSIONS)
def test_weights_sum_to_one(dimensions: int):
    layout = _layout(dimensions)
    positions, _ = _inputs(layout, 1)
    ones = torch.ones(layout.rows, 2, dtype=torch.float64)
    values = simplex_grid(positions.double(), ones, layout)
    assert (values - 1).abs().max() < 1e-14
    assert (simplex_grid(positions, ones.float(), layout) - 1).abs().max() < 1e-6


@pytest.mark.parametrize("dimensions", DIMENSIONS)
def test_a_linear_function_is_reproduced_with_its_slope(dimensions: int):
    layout = _one_level(dimensions, 3.7)
    slope = torch.linspace(-2, 3, dimensions, dtype=torch.float64)
    table = (_unskewed(layout) @ slope)[:, None]
    positions = _inputs(layout, 1)[0].double().requires_grad_()
    values = simplex_grid(positions, table, layout)[:, 0]
    assert (values - positions @ slope).abs().max() < 1e-12
    (found,) = torch.autograd.grad(values.sum(), positions)
    assert (found - slope).abs().max() < 1e-12


@pytest.mark.parametrize("dimensions", DIMENSIONS)
def test_values_are_continuous_across_faces_of_cells_and_of_simplices(dimensions: int):
    layout = _layout(dimensions)
    _, table = _inputs(layout, 2)
    generator = torch.Generator().manual_seed(4)
    skew = (math.sqrt(dimensions + 1) - 1) / dimensions
    inverse = (1 - 1 / math.sqrt(dimensions + 1)) / dimensions
    scale = layout.scales[0]
    y = 0.5 + scale * (1 + skew * dimensions) * (0.2 + 0.6 * torch.rand(500, dimensions, generator=generator)).double()
    on_cells, on_simplices = y.clone(), y.clone()
    on_cells[:, 0] = y[:, 0].round()
    on_simplices[:, 0] = y[:, 0].floor() + (y[:, 1] - y[:, 1].floor())
    for faces in (on_cells, on_simplices):
        s = faces - 0.5
        positions = (s - inverse * s.sum(-1, keepdim=True)) / scale
        inside = ((positions > 0.01) & (positions < 0.99)).all(-1)
        positions = positions[inside]
        step = 1e-9 * torch.randn(positions.shape, generator=generator).double()
        jump = simplex_grid(positions + step, table.double(), layout) - simplex_grid(
            positions - step, table.double(), layout
        )
        assert inside.sum() > 20
        assert jump.abs().max() < 1e-6


def test_ties_and_faces_of_the_cube_match_float64():
    for dimensions in (2, 3):
        layout = _layout(dimensions)
        sides = torch.tensor([0.0, 0.25, 0.5, 1.0])
        positions = torch.cartesian_prod(*[sides] * dimensions)
        table = _inputs(layout, 4)[1]
        wanted = simplex_grid(positions.double(), table.double(), layout)
        torch.testing.assert_close(simplex_grid(positions, table, layout).double(), wanted, rtol=1e-5, atol=1e-5)


def test_equal_coordinates_get_the_same_gradients_as_the_reference():
    """All fractions are equal: the order of the axes decides, and it must be the same order."""
    layout = GridLayout(3, (4.0,), (10,), (0, 1000), simplices=True)
    table = _inputs(layout, 4)[1]
    positions = torch.linspace(0.01, 0.99, 37)[:, None].expand(37, 3).contiguous()
    gradient = torch.ones(37, 4)
    lists = ([4.0], [10], [0, 1000])
    found = torch.ops.scenekit.simplex_grid_backward(gradient, positions, table, *lists, [True, True])
    wanted = torch.ops.scenekit.simplex_grid_backward(
        gradient.double(), positions.double(), table.double(), *lists, [True, True]
    )
    for a, b in zip(found, wanted, strict=True):
        torch.testing.assert_close(a.double(), b, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("dimensions", DIMENSIONS)
def test_negative_skewed_coordinates_are_hashed_as_32_bit_numbers(dimensions: int):
    layout = GridLayout(dimensions, (40.0,), (100,), (0, 256), simplices=True)
    table = torch.arange(256.0, dtype=torch.float64)[:, None]
    vertex = torch.tensor([-3, 5, -1, -7, 2, -4][:dimensions])
    y = vertex.double() - 0.5
    inverse = (1 - 1 / math.sqrt(dimensions + 1)) / dimensions
    position = (y - inverse * y.sum()) / 40.0 + 1e-12
    row = 0
    for coordinate, prime in zip(vertex.tolist(), PRIMES, strict=False):
        row ^= coordinate * prime % 2**32
    assert simplex_grid(position[None], table, layout).item() == pytest.approx(row % 256, abs=1e-6)
    outside = 3 * torch.randn(100, dimensions, generator=torch.Generator().manual_seed(1))
    wanted = simplex_grid(outside.double(), table, layout)
    torch.testing.assert_close(simplex_grid(outside, table.float(), layout).double(), wanted, rtol=1e-3, atol=0.3)


def test_positions_outside_the_cube_or_not_numbers_read_only_the_table():
    layout = _layout(3)
    table = _inputs(layout, 4)[1]
    outside = torch.tensor([[-0.3, 0.5, 0.5], [1.7, -4.0, 0.2], [0.1, 0.2, 30.0], [-1.0, -1.1, -1.2]])
    wanted = simplex_grid(outside.double(), table.double(), layout)
    torch.testing.assert_close(simplex_grid(outside, table, layout).double(), wanted, rtol=1e-4, atol=1e-4)
    strange = torch.tensor([[math.nan, 0.5, 0.5], [math.inf, 1e30, -1e30]])
    assert simplex_grid(strange, table, layout).shape == (2, 16)


@pytest.mark.parametrize("dimensions", [2, 3, 4])
def test_a_level_has_as_many_vertices_as_the_grid_of_the_same_arguments(dimensions: int):
    """Counted: vertices of one dense level whose unskewed places are inside the cube."""
    arguments = {"levels": 1, "log2_table": 30, "base_resolution": {2: 101, 3: 41, 4: 19}[dimensions], "growth": 1.0}
    layout = simplex_layout(dimensions, **arguments)
    places = _unskewed(layout)
    inside = ((places >= 0) & (places < 1)).all(-1).sum().item()
    cells = GridLayout.of(dimensions, **arguments).scales[0] ** dimensions
    assert inside == pytest.approx(cells, rel=0.03)


@pytest.mark.parametrize("dimensions", DIMENSIONS)
def test_every_vertex_of_the_cube_has_a_row_of_its_own_in_dense_levels(dimensions: int):
    layout = simplex_layout(dimensions, levels=1, log2_table=30, base_resolution=4, growth=1.0)
    corner = torch.ones(1, dimensions)
    table = torch.arange(layout.rows, dtype=torch.float32)[:, None].requires_grad_()
    (gradient,) = torch.autograd.grad(simplex_grid(corner, table, layout).sum(), table)
    y = layout.scales[0] * math.sqrt(dimensions + 1) + 0.5
    touched = gradient.squeeze(-1).nonzero().squeeze(-1)
    highest = max(int(row) // layout.resolutions[0] ** (dimensions - 1) for row in touched)
    assert highest in (math.floor(y), math.floor(y) + 1)
    assert highest < layout.resolutions[0]


def test_table_gradient_is_the_same_bits_for_any_number_of_threads_and_sums_to_the_incoming():
    layout = _layout(3, log2_table=10)
    positions, table = _inputs(layout, 4, rows=5000)
    table.requires_grad_()
    handle = native.library()
    found = []
    for threads in (1, 3, torch.get_num_threads()):
        if handle is not None:
            handle.scenekit_set_threads(threads)
        found.append(torch.autograd.grad(simplex_grid(positions, table, layout).sum(), table)[0])
    assert torch.equal(found[0], found[1])
    for begin, end in zip(layout.offsets, layout.offsets[1:], strict=False):
        torch.testing.assert_close(found[0][begin:end].sum(0), torch.full((4,), 5000.0), rtol=1e-4, atol=0)


@pytest.mark.compile
def test_op_traces_into_one_graph():
    layout = _layout(2)
    positions, table = _inputs(layout, 2)
    lists = (list(layout.scales), list(layout.resolutions), list(layout.offsets))
    compiled = torch.compile(lambda x, t: SIMPLEX_GRID(x, t, *lists) * 2, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(positions, table), simplex_grid(positions, table, layout) * 2)


@pytest.mark.bad_input
def test_wrong_arguments_are_named():
    layout = _layout(3)
    positions, table = _inputs(layout, 2)
    with pytest.raises(ValueError, match=r"positions: wanted shape \[S 3\], found \[300, 2\]"):
        simplex_grid(positions[:, :2], table, layout)
    with pytest.raises(ValueError, match="table: wanted shape"):
        simplex_grid(positions, table[1:], layout)
    with pytest.raises(TypeError, match=r"positions: wanted torch\.float64"):
        simplex_grid(positions, table.double(), layout)
    with pytest.raises(ValueError, match="layout: wanted cells that are simplices, found cubes"):
        simplex_grid(positions, table, replace(layout, simplices=False))
    with pytest.raises(ValueError, match="layout: wanted cells that are cubes, found simplices"):
        hash_grid(positions, table, layout)
