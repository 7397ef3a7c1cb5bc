"""Grids of features as training uses them: many levels, every shape of row, points side by side."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from scenekit.kernels import OPS, GridLayout, simplex_layout
from scenekit.kernels.gpu import grids

from .emulator import COMPILER, emulated

pytestmark = pytest.mark.skipif(COMPILER is None, reason="needs a C++ compiler")

KINDS = {"hash_grid": GridLayout.of, "simplex_grid": simplex_layout}


def _side_by_side(count: int, dimensions: int, generator: torch.Generator) -> Tensor:
    """Short steps along a few lines, so that runs of lanes of all lengths share cells."""
    along = torch.linspace(0, 0.6, count)[:, None] * torch.rand(1, dimensions, generator=generator)
    jumps = 0.3 * torch.rand(count // 50 + 1, dimensions, generator=generator).repeat_interleave(50, 0)[:count]
    return along + jumps


@pytest.mark.parametrize(
    ("kind", "dimensions", "features", "levels", "dtype", "architecture"),
    [
        ("hash_grid", 3, 2, 16, torch.float32, "sm_90"),
        ("hash_grid", 3, 2, 5, torch.float32, "sm_75"),
        ("hash_grid", 3, 1, 8, torch.float32, "sm_90"),
        ("hash_grid", 2, 4, 6, torch.float16, "sm_90"),
        ("hash_grid", 3, 8, 3, torch.bfloat16, "sm_90"),
        ("hash_grid", 1, 2, 3, torch.float16, "sm_90"),
        ("simplex_grid", 3, 2, 16, torch.float32, "sm_90"),
        ("simplex_grid", 4, 4, 5, torch.float32, "sm_90"),
        ("hash_grid", 3, 27, 1, torch.float32, "sm_90"),
        ("hash_grid", 2, 48, 1, torch.float32, "sm_75"),
        ("hash_grid", 1, 48, 1, torch.float32, "sm_90"),
        ("hash_grid", 2, 16, 4, torch.float16, "sm_90"),
        ("hash_grid", 3, 63, 2, torch.bfloat16, "sm_90"),
        ("simplex_grid", 3, 64, 2, torch.float32, "sm_90"),
        ("simplex_grid", 6, 10, 3, torch.float32, "sm_90"),
    ],
)
def test_rows_of_every_shape_match_the_reference(
    kind: str,
    dimensions: int,
    features: int,
    levels: int,
    dtype: torch.dtype,
    architecture: str,
    monkeypatch: pytest.MonkeyPatch,
):
    generator = torch.Generator().manual_seed(3)
    layout = KINDS[kind](dimensions, levels=levels, log2_table=10, base_resolution=4, growth=1.4)
    positions = torch.cat([_side_by_side(150, dimensions, generator), torch.rand(50, dimensions, generator=generator)])
    table = torch.randn(layout.rows, features, generator=generator).to(dtype)
    gradient = torch.randn(len(positions), levels * features, generator=generator).to(dtype)
    shape = (layout.scales, layout.resolutions, layout.offsets)
    with emulated(monkeypatch, architecture):
        found = [OPS[kind].cuda(positions, table, *shape)]  # type: ignore[reportOptionalCall]
        found += OPS[f"{kind}_backward"].cuda(gradient, positions, table, *shape, [True, True])  # type: ignore[reportOptionalCall]
    exact = gradient.double(), positions, table.double()
    wanted = [OPS[kind].reference(*exact[1:], *shape)]
    wanted += OPS[f"{kind}_backward"].reference(*exact, *shape, [True, True])
    # Positions of hundreds of cells keep four digits of the fraction within a cell.
    tolerance = {torch.float32: 1e-4, torch.float16: 2e-3, torch.bfloat16: 2e-2}
    for a, b, of in zip(found, wanted, (dtype, torch.float32, dtype), strict=True):
        assert (a.double() - b.double()).abs().max() <= tolerance[of] * b.abs().max()
    assert found[0].dtype == found[2].dtype == dtype
    assert found[1].dtype == torch.float32


@pytest.mark.parametrize("features", [2, 12])
@pytest.mark.parametrize("kind", KINDS)
def test_points_without_gradient_are_passed_by(kind: str, features: int, monkeypatch: pytest.MonkeyPatch):
    generator = torch.Generator().manual_seed(3)
    layout = KINDS[kind](3, levels=6, log2_table=10, base_resolution=4, growth=1.4)
    shape = (layout.scales, layout.resolutions, layout.offsets)
    positions, table = _side_by_side(300, 3, generator), torch.zeros(layout.rows, features)
    gradient = torch.randn(300, 6 * features, generator=generator)
    padding = torch.rand(300, generator=generator) < 0.4
    gradient[padding], elsewhere = 0, torch.where(padding[:, None], torch.nan, positions)
    with emulated(monkeypatch):
        _, found = OPS[f"{kind}_backward"].cuda(gradient, elsewhere, table, *shape, [False, True])  # type: ignore[reportOptionalCall]
    wanted = OPS[f"{kind}_backward"].reference(gradient, positions, table, *shape, [False, True])[1]
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("features", [2, 9])
@pytest.mark.parametrize("kind", KINDS)
def test_points_of_several_blocks_are_added_up(kind: str, features: int, monkeypatch: pytest.MonkeyPatch):
    generator = torch.Generator().manual_seed(3)
    layout = KINDS[kind](3, levels=5, log2_table=8, base_resolution=4, growth=1.4)
    shape = (layout.scales, layout.resolutions, layout.offsets)
    positions, table = _side_by_side(1100, 3, generator), torch.randn(layout.rows, features, generator=generator)
    gradient = torch.randn(len(positions), 5 * features, generator=generator)
    with emulated(monkeypatch):
        found = grids.for_table(kind, gradient, positions, table, shape)
    wanted = OPS[f"{kind}_backward"].reference(gradient, positions, table, *shape, [False, True])[1]
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("features", [2, 10])
def test_points_outside_of_the_cube_read_and_write_rows_of_the_table(features: int, monkeypatch: pytest.MonkeyPatch):
    layout = GridLayout.of(3, levels=4, log2_table=10, base_resolution=4, growth=1.7)
    positions = torch.tensor([[-5.0, 0.5, 9.0], [1e30, -1e30, 0.0], [torch.nan, 0.1, torch.inf], [1.0, 1.0, 1.0]])
    shape = (layout.scales, layout.resolutions, layout.offsets)
    table = torch.ones(layout.rows, features)
    with emulated(monkeypatch):
        found = OPS["hash_grid"].cuda(positions, table, *shape)  # type: ignore[reportOptionalCall]
        OPS["hash_grid_backward"].cuda(found.nan_to_num(), positions, table, *shape, [True, True])  # type: ignore[reportOptionalCall]
    wanted = OPS["hash_grid"].reference(positions[[0, 3]], table, *shape)
    torch.testing.assert_close(found[[0, 3]], wanted)


def test_a_fixed_order_of_sums_is_the_references(monkeypatch: pytest.MonkeyPatch):
    layout = GridLayout.of(3, levels=2, log2_table=8, base_resolution=4, growth=1.7)
    shape = (layout.scales, layout.resolutions, layout.offsets)
    arguments = torch.rand(9, 4), torch.rand(9, 3), torch.rand(layout.rows, 2), *shape
    monkeypatch.setattr(torch, "are_deterministic_algorithms_enabled", lambda: True)
    with emulated(monkeypatch) as gpu:
        _, found = OPS["hash_grid_backward"].cuda(*arguments, [False, True])  # type: ignore[reportOptionalCall]
        assert gpu.launches == 0
        OPS["hash_grid_backward"].cuda(*arguments, [True, False])  # type: ignore[reportOptionalCall]
        assert gpu.launches == 1  # without atomics anyway
    assert torch.equal(found, OPS["hash_grid_backward"].reference(*arguments, [False, True])[1])
