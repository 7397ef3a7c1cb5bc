from __future__ import annotations

import ctypes
import math
from dataclasses import replace

import pytest
import torch

from scenekit.core.bounds import Bounds
from scenekit.core.capabilities import Traced
from scenekit.kernels import native
from scenekit.kernels.grid_layout import GridLayout
from scenekit.kernels.march import StepRule
from scenekit.kernels.ray_cube import ray_cube
from scenekit.kernels.rbf import KERNELS, Neurons
from scenekit.kernels.simplex_grid import simplex_layout
from scenekit.kernels.trace_hash_grid import TRACE_HASH_GRID, GridField, Stretches, trace_hash_grid

CONE = StepRule(0.01, 0.2, 1 / 64)
DEGREE = 3


def field(
    bounds: Bounds, log_density: float = 1.0, features: int = 4, width: int = 24, *, simplices: bool = False
) -> GridField:
    generator = torch.Generator().manual_seed(0)
    layout_of = simplex_layout if simplices else GridLayout.of
    layout = layout_of(3, levels=4, log2_table=10, base_resolution=4, growth=1.8)

    def matrix(out: int, inputs: int) -> torch.Tensor:
        return torch.randn(out, inputs, generator=generator) * (1.5 / inputs**0.5)

    table = torch.randn(layout.rows, features, generator=generator)
    density = [matrix(width, 4 * features), matrix(16, width)]
    color = [matrix(width, 16 + (DEGREE + 1) ** 2), matrix(3, width)]
    return GridField(table, layout, density, color, log_density, bounds)


def of_neurons(of: GridField, kernel: str, count: int = 12) -> GridField:
    """The field with neurons that its encodings are about as far from as neurons answer to."""
    generator = torch.Generator().manual_seed(3)
    (width, encoded) = of.density[0].shape
    centers = torch.randn(count, encoded, generator=generator)
    log_precisions = torch.randn(count, encoded, generator=generator) - math.log(4 * encoded)
    density = [torch.randn(width, count, generator=generator), *of.density[1:]]
    return replace(of, density=density, neurons=Neurons(centers, log_precisions, kernel))


def stretches(count: int, extent: float) -> Stretches:
    generator = torch.Generator().manual_seed(1)
    origins = torch.randn(count, 3, generator=generator) * extent
    towards = torch.rand(count, 3, generator=generator) * 2 - 1
    directions = torch.nn.functional.normalize(towards - origins, dim=-1)
    near, far = ray_cube(origins, directions, extent)
    return Stretches(origins, directions, near, far, torch.rand(count, generator=generator))


def cells(cascades: int, grid: int = 16, share: float = 0.4) -> torch.Tensor:
    return torch.rand(cascades, grid, grid, grid, generator=torch.Generator().manual_seed(2)) < share


def plain(rays: Stretches, occupancy: torch.Tensor, rule: StepRule, most: int, of: GridField) -> Traced:
    layout, packed = of.layout, rule.packed(torch.float32, torch.device("cpu"))
    neurons = ([], "") if of.neurons is None else ([of.neurons.centers, of.neurons.log_precisions], of.neurons.kernel)
    grid = (of.table, layout.scales, layout.resolutions, layout.offsets, layout.simplices, *neurons)
    space = (of.log_density, of.bounds.field_extent, of.bounds.contracted, True, None, None)
    return Traced(*TRACE_HASH_GRID.reference(*rays, occupancy, packed, most, *grid, of.density, of.color, *space))


def assert_near(found: Traced, wanted: Traced) -> None:
    for name in ("colors", "opacities", "distances"):
        torch.testing.assert_close(getattr(found, name), getattr(wanted, name), rtol=0, atol=2e-4, msg=name)
    assert (found.samples != wanted.samples).float().mean() < 1e-3  # a threshold may fall on a rounding


@pytest.mark.parametrize("most", [9, 1024])
@pytest.mark.parametrize("bounds", [Bounds(1.0), Bounds(4.0), Bounds(8.0, contracted=True)], ids=str)
@pytest.mark.parametrize("log_density", [-1.0, 4.0], ids=["thin", "dense"])
def test_one_pass_sees_what_the_single_operators_see(bounds: Bounds, most: int, log_density: float):
    rays, of = stretches(3000, bounds.extent), field(bounds, log_density)
    occupancy = cells(bounds.cascades)
    found = trace_hash_grid(rays, occupancy, CONE, most, of)
    assert_near(found, plain(rays, occupancy, CONE, most, of))
    assert 0 < found.samples.max() <= most
    assert found.opacities.max() > 0.1


def test_without_colours_the_rest_is_the_same():
    rays, of = stretches(1000, 1.0), field(Bounds())
    whole = trace_hash_grid(rays, cells(1), CONE, 100, of)
    black = trace_hash_grid(rays, cells(1), CONE, 100, of, shaded=False)
    assert not black.colors.any()
    assert all(torch.equal(a, b) for a, b in zip(whole[1:], black[1:], strict=True))


def test_a_grid_of_simplices_is_seen_as_such():
    rays, of = stretches(3000, 1.0), field(Bounds(), simplices=True)
    assert_near(trace_hash_grid(rays, cells(1), CONE, 200, of), plain(rays, cells(1), CONE, 200, of))


@pytest.mark.parametrize(("features", "width"), [(1, 5), (2, 64), (8, 16)])
def test_any_widths_are_taken(features: int, width: int):
    rays, of = stretches(300, 1.0), field(Bounds(), features=features, width=width)
    assert_near(trace_hash_grid(rays, cells(1), CONE, 200, of), plain(rays, cells(1), CONE, 200, of))


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("simplices", [False, True])
def test_neurons_are_seen_as_such(kernel: str, simplices: bool):
    rays, of = stretches(3000, 1.0), field(Bounds(), simplices=simplices)
    found, wanted = (f(rays, cells(1), CONE, 200, of_neurons(of, kernel)) for f in (trace_hash_grid, plain))
    assert_near(found, wanted)
    assert (found.colors - trace_hash_grid(rays, cells(1), CONE, 200, of).colors).abs().max() > 0.1


@pytest.mark.parametrize("count", [0, 1])
def test_no_ray_and_a_single_one_see_neurons(count: int):
    rays, of = stretches(count, 1.0), of_neurons(field(Bounds()), "gaussian")
    found, wanted = (f(rays, cells(1), CONE, 200, of) for f in (trace_hash_grid, plain))
    for a, b in zip(found, wanted, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=2e-4)


@pytest.mark.parametrize(("features", "count"), [(1, 1), (2, 33), (8, 16)])
def test_any_number_of_neurons_is_taken(features: int, count: int):
    rays, of = stretches(300, 1.0), of_neurons(field(Bounds(), features=features), "inverse_quadratic", count)
    assert_near(trace_hash_grid(rays, cells(1), CONE, 200, of), plain(rays, cells(1), CONE, 200, of))


def test_neurons_far_from_the_origin_are_told_apart():
    """Where the reference's products lose what is left of their difference."""
    rays, of = stretches(1000, 1.0), of_neurons(field(Bounds()), "gaussian")
    assert of.neurons is not None
    near = Neurons(1 + of.neurons.centers / 100, of.neurons.log_precisions + 2 * math.log(100), "gaussian")
    of = replace(of, table=1 + of.table / 100, neurons=near)
    exactly = replace(
        of,
        table=of.table.double(),
        density=[w.double() for w in of.density],
        color=[w.double() for w in of.color],
        neurons=Neurons(near.centers.double(), near.log_precisions.double(), "gaussian"),
    )
    wanted = plain(Stretches(*(x.double() for x in rays)), cells(1), CONE, 200, exactly)
    assert_near(
        trace_hash_grid(rays, cells(1), CONE, 200, of), Traced(*(x.float() for x in wanted[:3]), wanted.samples)
    )


def test_a_picture_does_not_hang_on_the_number_of_threads():
    library = native.library()
    if library is None:
        pytest.skip("no compiled library")
    rays, of = stretches(9000, 1.0), field(Bounds())
    found = []
    try:
        for threads in (1, 2, 3):
            library.scenekit_set_threads(ctypes.c_int(threads))
            found.append(trace_hash_grid(rays, cells(1), CONE, 100, of))
    finally:
        library.scenekit_set_threads(ctypes.c_int(torch.get_num_threads()))
    for other in found[1:]:
        assert all(torch.equal(a, b) for a, b in zip(found[0], other, strict=True))


def test_a_ray_sees_the_same_in_any_company():
    rays, of = stretches(5000, 1.0), field(Bounds())
    whole = trace_hash_grid(rays, cells(1), CONE, 100, of)
    part = trace_hash_grid(Stretches(*(x[1234:1300] for x in rays)), cells(1), CONE, 100, of)
    assert all(torch.equal(a[1234:1300], b) for a, b in zip(whole, part, strict=True))


def test_rays_that_miss_or_have_no_length_see_nothing():
    rays = stretches(50, 1.0)
    missed = rays._replace(far=rays.near)
    traced = trace_hash_grid(missed, cells(1), CONE, 100, field(Bounds()))
    assert not any(x.any() for x in traced)


def test_absurd_densities_stay_finite():
    rays = stretches(200, 1.0)
    for log_density in (-1e4, 1e4):
        traced = trace_hash_grid(rays, cells(1), CONE, 100, field(Bounds(), log_density))
        assert all(x.isfinite().all() for x in traced)


def test_float64_reaches_the_reference():
    rays, of = Stretches(*(x.double() for x in stretches(100, 1.0))), field(Bounds())
    wide = GridField(
        of.table.double(), of.layout, [w.double() for w in of.density], [w.double() for w in of.color], 1.0, Bounds()
    )
    traced = trace_hash_grid(rays, cells(1), CONE, 100, wide)
    assert traced.colors.dtype == torch.float64
    assert math.isfinite(traced.colors.sum())


@pytest.mark.parametrize("kernel", ["", "gaussian"])
def test_a_table_of_halves_is_taken_beside_float32(kernel: str):
    rays, of = stretches(200, 1.0), field(Bounds())
    of = of_neurons(of, kernel) if kernel else of
    rounded = of.table.to(torch.float16)
    found = trace_hash_grid(rays, cells(1), CONE, 100, replace(of, table=rounded))
    assert found.colors.dtype == torch.float32
    assert_near(found, trace_hash_grid(rays, cells(1), CONE, 100, replace(of, table=rounded.float())))


@pytest.mark.bad_input
def test_a_table_of_whole_numbers_is_refused():
    of = field(Bounds())
    with pytest.raises(TypeError, match="table: wanted floats"):
        trace_hash_grid(stretches(3, 1.0), cells(1), CONE, 10, replace(of, table=of.table.long()))


@pytest.mark.bad_input
def test_gradients_are_refused():
    of = field(Bounds())
    of.table.requires_grad_()
    with pytest.raises(RuntimeError, match="no gradients"):
        trace_hash_grid(stretches(3, 1.0), cells(1), CONE, 10, of)
    with torch.no_grad():
        trace_hash_grid(stretches(3, 1.0), cells(1), CONE, 10, of)


@pytest.mark.bad_input
def test_networks_that_do_not_fit_are_named():
    rays, of = stretches(3, 1.0), field(Bounds())
    wrong = GridField(of.table, of.layout, [of.density[0][:, 1:], of.density[1]], of.color, 0.0, Bounds())
    with pytest.raises(ValueError, match=r"density\[0\]"):
        trace_hash_grid(rays, cells(1), CONE, 10, wrong)
    no_harmonics = GridField(of.table, of.layout, of.density, [of.color[0][:, 3:], of.color[1]], 0.0, Bounds())
    with pytest.raises(ValueError, match="harmonics"):
        trace_hash_grid(rays, cells(1), CONE, 10, no_harmonics)


@pytest.mark.bad_input
def test_neurons_that_do_not_fit_are_named():
    rays, of = stretches(3, 1.0), of_neurons(field(Bounds()), "gaussian")
    assert of.neurons is not None
    wrong = {
        r"centers: wanted shape \[K F\] with F = 16": replace(of.neurons, centers=of.neurons.centers[:, 1:]),
        "log_precisions": replace(of.neurons, log_precisions=of.neurons.log_precisions[1:]),
        "kernel: wanted one of gaussian, .*found sinc": replace(of.neurons, kernel="sinc"),
        r"density\[0\]": replace(of.neurons, **{x: getattr(of.neurons, x)[1:] for x in ("centers", "log_precisions")}),
    }
    for message, neurons in wrong.items():
        with pytest.raises(ValueError, match=message):
            trace_hash_grid(rays, cells(1), CONE, 10, replace(of, neurons=neurons))
