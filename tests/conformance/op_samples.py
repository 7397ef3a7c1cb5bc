"""Sample inputs of every operator for test_ops.py: one entry per name in OPS, added with the operator.

An entry is a :class:`Sample`; its ``make(generator, dtype, rows)`` returns the operator's arguments as the
schema takes them, floating tensors in ``dtype``. ``rows`` is whatever the operator runs over (points, rays,
pixels); it must work for 0 and 1. Keep inputs away from kinks (a ReLU at 0, a cell's border, a threshold):
gradcheck steps by 1e-6.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Generator, Tensor

from scenekit.kernels.grid_layout import GridLayout
from scenekit.kernels.march import StepRule
from scenekit.kernels.pack_cells import PACK_CELLS
from scenekit.kernels.radiance import RADIANCE
from scenekit.kernels.simplex_grid import simplex_layout
from scenekit.kernels.ssim import L1_DSSIM

from . import splat_samples as splats


@dataclass(frozen=True)
class Sample:
    """How one operator is exercised.

    Attributes:
        make: arguments from a generator, a floating dtype and a number of rows.
        differentiable: positions of the arguments to differentiate; a list of tensors counts as one position.
        tolerance: largest error allowed of the float32 body against the reference, values and gradients,
            as a fraction of the largest reference entry of that tensor.
        rows: rows of the comparison with the reference (above one grain of the pool where that is cheap).
        check_rows: rows of gradcheck and opcheck.
        reference_dtype: float64, or float32 where thresholds would fall differently in float64.
        half: whether float16 and bfloat16 inputs are taken, and the tolerance then.
        opcheck_skips: ``opcheck`` tests that cannot hold; the entry says why.
    """

    make: Callable[[Generator, torch.dtype, int], tuple[Any, ...]]
    differentiable: tuple[int, ...] = ()
    tolerance: float = 1e-5
    rows: int = 300
    check_rows: int = 5
    reference_dtype: torch.dtype = torch.float64
    half: float | None = 0.05
    opcheck_skips: tuple[str, ...] = ()


def normal(generator: Generator, dtype: torch.dtype, *shape: int) -> Tensor:
    """Normal numbers that are the same in every dtype up to rounding."""
    return torch.randn(*shape, generator=generator, dtype=torch.float32).to(dtype)


def uniform(generator: Generator, dtype: torch.dtype, *shape: int) -> Tensor:
    """Uniform numbers in [0, 1) that are the same in every dtype up to rounding."""
    return torch.rand(*shape, generator=generator, dtype=torch.float32).to(dtype)


def directions(generator: Generator, dtype: torch.dtype, rows: int) -> Tensor:
    """Unit vectors."""
    return torch.nn.functional.normalize(normal(generator, torch.float32, rows, 3), dim=-1).to(dtype)


def _grid(generator: Generator, dtype: torch.dtype, rows: int) -> tuple[Any, ...]:
    """Two dense levels and one hashed; 5 features are blended as 4 and 1."""
    layout = GridLayout.of(3, levels=3, log2_table=9, base_resolution=4, growth=1.7)
    table = normal(generator, dtype, layout.rows, 5)
    positions = uniform(generator, dtype, rows, 3)
    return positions, table, list(layout.scales), list(layout.resolutions), list(layout.offsets)


def _grid_backward(generator: Generator, dtype: torch.dtype, rows: int) -> tuple[Any, ...]:
    arguments = _grid(generator, dtype, rows)
    return normal(generator, dtype, rows, 15), *arguments, [True, True]


def _simplices(generator: Generator, dtype: torch.dtype, rows: int) -> tuple[Any, ...]:
    """A dense level and two hashed; 5 features are blended as 4 and 1."""
    layout = simplex_layout(3, levels=3, log2_table=10, base_resolution=5, growth=1.7)
    table = normal(generator, dtype, layout.rows, 5)
    positions = uniform(generator, dtype, rows, 3)
    return positions, table, list(layout.scales), list(layout.resolutions), list(layout.offsets)


def _simplices_backward(generator: Generator, dtype: torch.dtype, rows: int) -> tuple[Any, ...]:
    arguments = _simplices(generator, dtype, rows)
    return normal(generator, dtype, rows, 15), *arguments, [True, True]


def _points(generator: Generator, dtype: torch.dtype, rows: int) -> tuple[Any, ...]:
    """Queries also outside the box of the points."""
    return 1.4 * uniform(generator, dtype, rows, 3) - 0.2, uniform(generator, dtype, 900, 3), 5


def _colors(generator: Generator, dtype: torch.dtype, rows: int) -> tuple[Any, ...]:
    """More coefficients than degree 3 uses."""
    return normal(generator, dtype, rows, 20, 3), directions(generator, dtype, rows), 3


def _colors_backward(generator: Generator, dtype: torch.dtype, rows: int) -> tuple[Any, ...]:
    return normal(generator, dtype, rows, 3), *_colors(generator, dtype, rows), [True, True]


def _mlp(generator: Generator, dtype: torch.dtype, rows: int) -> tuple[Any, ...]:
    """Widths beside, at and over a multiple of sixteen lanes."""
    widths = [5, 32, 70, 3]
    weights = [normal(generator, dtype, b, a) / a**0.5 for a, b in itertools.pairwise(widths)]
    return normal(generator, dtype, rows, 5), torch.cat([w.flatten() for w in weights]), widths


def _mlp_backward(generator: Generator, dtype: torch.dtype, rows: int) -> tuple[Any, ...]:
    return normal(generator, dtype, rows, 3), *_mlp(generator, dtype, rows), True


def _radiance(generator: Generator, dtype: torch.dtype, rows: int) -> tuple[Any, ...]:
    """Features and harmonics that fill no square of sixteen."""
    widths = [6, 20, 5], [5 + 9, 18, 3]
    density, color = (
        torch.cat([normal(generator, dtype, b * a) / a**0.5 for a, b in itertools.pairwise(part)]) for part in widths
    )
    return normal(generator, dtype, rows, 6), directions(generator, dtype, rows), density, color, *widths, 2, 0.5


def _radiance_backward(generator: Generator, dtype: torch.dtype, rows: int) -> tuple[Any, ...]:
    arguments = _radiance(generator, dtype, rows)
    gradients = normal(generator, dtype, rows), normal(generator, dtype, rows, 3)
    return *gradients, *RADIANCE.reference(*arguments), *arguments, [True, True]


def _rays(generator: Generator, dtype: torch.dtype, rows: int) -> tuple[Any, ...]:
    """Two cascades and growing steps, from within and from without."""
    origins = normal(generator, dtype, rows, 3)
    near = uniform(generator, dtype, rows)
    occupancy = uniform(generator, torch.float32, 2, 8, 8, 8) < 0.3
    ends = near, near + 4 * uniform(generator, dtype, rows)
    towards = directions(generator, dtype, rows)
    rule = StepRule(0.02, 0.3, 0.05).packed(dtype, torch.device("cpu"))
    return origins, towards, *ends, occupancy, uniform(generator, dtype, rows), rule, 40


def _pixels(generator: Generator, dtype: torch.dtype, rows: int) -> tuple[Any, ...]:
    """Pixels of three cameras that are turned in any way."""
    turns = torch.linalg.qr(normal(generator, torch.float32, 3, 3, 3)).Q.to(dtype)
    poses = torch.cat([turns, normal(generator, dtype, 3, 3, 1)], -1)
    intrinsics = torch.tensor([[30.0, 31.0, 16.0, 15.0], [50.0, 50.0, 20.0, 12.0], [20.0, 22.0, 9.0, 8.0]], dtype=dtype)
    cameras = torch.randint(3, (rows,), generator=generator)
    return poses, intrinsics, cameras, 30 * uniform(generator, dtype, rows, 2)


def _cubes(generator: Generator, dtype: torch.dtype, rows: int) -> tuple[Any, ...]:
    """Rays from within and from without; some along axes and faces, some in the plane of a face."""
    origins, towards = normal(generator, dtype, rows, 3), directions(generator, dtype, rows)
    towards[::5] = torch.tensor([0.0, 1.0, 0.0], dtype=dtype)
    origins[::10] = torch.tensor([1.0, -3.0, 0.5], dtype=dtype)
    towards[1::7, 2] = 0
    return origins, towards, 1.0, 0.25


def _marched(generator: Generator, dtype: torch.dtype, rows: int) -> tuple[Any, ...]:
    """Rays that are to have more samples than they have or than there is room for, and some that have enough."""
    rays = _rays(generator, dtype, rows)
    return *rays, 20 * rows, torch.arange(rows) * 7 % 45, PACK_CELLS.reference(rays[4])


def _traced(generator: Generator, dtype: torch.dtype, rows: int) -> tuple[Any, ...]:
    """The rays of the marcher through a contracted grid, dense enough that most are stopped."""
    origins, towards, near, far, occupancy, jitter, rule, most = _rays(generator, dtype, rows)
    layout = GridLayout.of(3, levels=3, log2_table=9, base_resolution=4, growth=1.7)
    table = normal(generator, dtype, layout.rows, 2)
    density = [normal(generator, dtype, 9, 6), normal(generator, dtype, 5, 9)]
    color = [normal(generator, dtype, 7, 5 + 9), normal(generator, dtype, 3, 7)]
    rays = (origins, towards, near, far + 2, jitter, occupancy, rule, most)
    grid = (table, list(layout.scales), list(layout.resolutions), list(layout.offsets), False)
    return *rays, *grid, [], "", density, color, 0.5, 2.0, True, True, None, None


def _fog(generator: Generator, dtype: torch.dtype, rows: int) -> tuple[Any, ...]:
    """Rays of 0 to 6 samples, too faint for the stop, and some samples that are nobody's."""
    offsets = torch.cat([torch.zeros(1, dtype=torch.int64), (torch.arange(rows) * 3 % 7).cumsum(0)])
    samples = int(offsets[-1]) + 3 * rows
    alphas = 0.05 + 0.5 * uniform(generator, dtype, samples)
    return alphas, normal(generator, dtype, samples, 3), uniform(generator, dtype, samples), offsets


def _on_rays(generator: Generator, dtype: torch.dtype, rows: int) -> tuple[Any, ...]:
    """Samples of some of the rays, not in their order."""
    owners = torch.randint(max(1, rows), (3 * rows,), generator=generator)
    return (*(normal(generator, dtype, rows, 3) for _ in range(2)), owners, normal(generator, dtype, 3 * rows))


def _walls(generator: Generator, dtype: torch.dtype, rows: int) -> tuple[Any, ...]:
    """Rays of 0 to 89 samples of eighths, which add up without rounding, and some samples that are nobody's."""
    offsets = torch.cat([torch.zeros(1, dtype=torch.int64), (torch.arange(rows) * 37 % 90).cumsum(0)])
    thickness = torch.randint(8, (int(offsets[-1]) + 3 * rows,), generator=generator).to(dtype) / 8
    thickness[::50] = 100
    return thickness, offsets


def _fog_backward(generator: Generator, dtype: torch.dtype, rows: int) -> tuple[Any, ...]:
    samples = _fog(generator, dtype, rows)
    of_rays = (normal(generator, dtype, rows, 3), *(normal(generator, dtype, rows) for _ in range(2)))
    return *of_rays, normal(generator, dtype, len(samples[0])), *samples


def _compared(generator: Generator, dtype: torch.dtype, rows: int) -> tuple[Any, ...]:
    """Opaque photographs of which some pixels may not be believed and some had no room; errors small and large."""
    colors, opacities, behind = (uniform(generator, dtype, *shape) for shape in ((rows, 3), (rows,), (rows, 3)))
    photographed = colors + (1 - opacities)[:, None] * behind + 0.2 * normal(generator, dtype, rows, 3)
    valid, left_out = (uniform(generator, torch.float32, rows) < share for share in (0.8, 0.2))
    return colors, opacities, behind, photographed, valid, left_out, 0.1


def _compared_backward(generator: Generator, dtype: torch.dtype, rows: int) -> tuple[Any, ...]:
    """Photographs with alpha over one colour, all of them believed."""
    colors, opacities, photographed = (uniform(generator, dtype, *shape) for shape in ((rows, 3), (rows,), (rows, 4)))
    behind = uniform(generator, dtype, 3)
    return normal(generator, dtype, 1)[0], colors, opacities, behind, photographed, None, None, 0.1, True


def _photographs(generator: Generator, dtype: torch.dtype, rows: int) -> tuple[Any, ...]:
    """Pixels of four photographs of several sizes, their first and last among them."""
    widths, heights = torch.tensor([5, 40, 1, 9]), torch.tensor([7, 30, 1, 8])
    starts = torch.cat([widths.new_zeros(1), (widths * heights).cumsum(0)])
    colors = torch.randint(256, (int(starts[-1]), 4), generator=generator).byte()
    index = torch.randint(len(colors), (rows,), generator=generator)
    index[:4], index[4:8] = starts[:-1][:rows], starts[1:][: max(0, rows - 4)] - 1
    return index, starts, widths, colors


def _numbers(generator: Generator, dtype: torch.dtype, rows: int) -> tuple[Any, ...]:
    """Of many kinds, more tensors than a launch takes, some of them single numbers or empty."""
    floats = normal(generator, dtype, rows), normal(generator, dtype, 1)[0], normal(generator, dtype, rows, 2).t()
    whole = torch.arange(2**40, 2**40 + rows), torch.tensor(7), torch.arange(rows, dtype=torch.int32)
    return ([*floats, *whole, torch.tensor([True, False]), floats[0].double(), whole[0][:0], floats[1]],)


def _step(generator: Generator, dtype: torch.dtype, rows: int) -> tuple[Any, ...]:
    """A sparse parameter and two small dense ones; a gradient is infinite somewhere, and all are cleared."""
    shapes = (rows,), (3, min(rows, 5)), (min(rows, 1),)
    parameters, gradients = ([normal(generator, dtype, *shape) for shape in shapes] for _ in range(2))
    gradients[0] *= uniform(generator, dtype, rows) < 0.5
    gradients[1][0, :1] = torch.inf
    moments = [normal(generator, dtype, *s) for s in shapes], [uniform(generator, dtype, *s) for s in shapes]
    numbers = torch.tensor([[0.02, 0.9, 0.99, 1e-6, 0.1, 3.0], [0.03, 0.8, 0.9, 1e-6, 0.0, 2.0]], dtype=dtype)
    bad = torch.zeros(2, dtype=torch.int32)
    return parameters, gradients, *moments, numbers, [0, 1, 0], [True, False, False], True, bad


def _grid_to_sort(generator: Generator, dtype: torch.dtype, rows: int) -> tuple[Any, ...]:
    """Blocks of 6 in a grid of 13 by 11, so that cells rest; they begin near the border."""
    values = normal(generator, dtype, 13, 11, 5)
    order = torch.randperm(13 * 11, generator=generator).reshape(13, 11)
    groups = torch.randperm(36, generator=generator).reshape(-1, 4)[:rows]
    return values, order, normal(generator, dtype, 13, 11, 5), groups, [6, 9, 4]


def _pictures(generator: Generator, dtype: torch.dtype, rows: int) -> tuple[Any, ...]:
    target = uniform(generator, dtype, rows, 9, 3)
    return target + 0.1 * normal(generator, dtype, rows, 9, 3), target


def _pictures_backward(generator: Generator, dtype: torch.dtype, rows: int) -> tuple[Any, ...]:
    return normal(generator, dtype, rows, 9, 3), *_pictures(generator, dtype, rows)


def _loss(generator: Generator, dtype: torch.dtype, rows: int) -> tuple[Any, ...]:
    """Two images; no value near its target, where the difference has no gradient."""
    targets = uniform(generator, dtype, 2, rows, 9, 3)
    error = normal(generator, dtype, 2, rows, 9, 3)
    return targets + 0.1 * (error + 0.1 * error.sign()), targets, 0.2, True


def _loss_backward(generator: Generator, dtype: torch.dtype, rows: int) -> tuple[Any, ...]:
    arguments = _loss(generator, dtype, rows)
    maps = L1_DSSIM.reference(*arguments)[2]
    return *normal(generator, dtype, 2).unbind(), *arguments[:2], maps, 0.2


SAMPLES: dict[str, Sample] = {
    "adam_": Sample(_step, rows=100_000),
    # Which rows move where hangs on the rounding of sums.
    "assign_fours_": Sample(_grid_to_sort, reference_dtype=torch.float32, half=None),
    "composite": Sample(_fog, differentiable=(0, 1), rows=2000),
    "composite_backward": Sample(_fog_backward, rows=2000),
    "harmonic_colors": Sample(_colors, differentiable=(0, 1), rows=5000),
    "harmonic_colors_backward": Sample(_colors_backward, rows=5000),
    "hash_grid": Sample(_grid, differentiable=(0, 1), rows=5000),
    "hash_grid_backward": Sample(_grid_backward, rows=5000),
    # Counts, lists and stops are whole numbers behind thresholds, which half precision would cross.
    "intersect": Sample(splats.tiles, half=None),
    # Counts are whole numbers behind a threshold; halves would not hold sums of eighths.
    "lit_counts": Sample(_walls, rows=500, half=None),
    # Which steps are samples hangs on the rounding of positions.
    "march": Sample(_marched, rows=1000, reference_dtype=torch.float32, half=None),
    "l1_dssim": Sample(_loss, differentiable=(0,), tolerance=1e-4),
    "l1_dssim_backward": Sample(_loss_backward, tolerance=1e-4),
    "mlp": Sample(_mlp, differentiable=(0, 1), rows=9001),
    "mlp_backward": Sample(_mlp_backward, rows=9001),
    "neighbourhood_means": Sample(lambda g, dtype, n: (normal(g, dtype, n + 9, 11, 3), 4), rows=40),
    # A cell holds something or not, whatever a row is: of two cascades.
    "pack_cells": Sample(lambda g, _, n: (uniform(g, torch.float32, 2, 4 * n + 4, *[4 * n + 4] * 2) < 0.1,), rows=7),
    "pinhole_rays": Sample(_pixels, differentiable=(0, 1), rows=1000),
    # Whether a ray meets the cube, and where, hangs on the rounding of its direction.
    "ray_cube": Sample(_cubes, rows=1000, reference_dtype=torch.float32, half=None),
    # Which points are nearest hangs on rounding.
    "nearest": Sample(_points, rows=700, reference_dtype=torch.float32, half=None),
    "project": Sample(splats.gaussians, differentiable=tuple(range(8)), rows=2500, half=None),
    "project_backward": Sample(splats.gaussians_backward, rows=2500, half=None),
    "radiance": Sample(_radiance, differentiable=(0, 1, 2, 3), rows=3000),
    "radiance_backward": Sample(_radiance_backward, rows=3000),
    "rasterize": Sample(splats.picture, differentiable=(0,), half=None),
    "rasterize_backward": Sample(splats.picture_backward, half=None),
    "simplex_grid": Sample(_simplices, differentiable=(0, 1), rows=5000),
    "simplex_grid_backward": Sample(_simplices_backward, rows=5000),
    "spherical_harmonics": Sample(lambda g, dtype, n: (directions(g, dtype, n), 4), differentiable=(0,), rows=5000),
    "spherical_harmonics_backward": Sample(
        lambda g, dtype, n: (normal(g, dtype, n, 25), directions(g, dtype, n), 4), rows=5000
    ),
    "ssim": Sample(_pictures, differentiable=(0,), tolerance=1e-4),
    "ssim_backward": Sample(_pictures_backward, tolerance=1e-4),
    "pixel_loss": Sample(_compared, differentiable=(0, 1, 2), rows=1000),
    "pixel_loss_backward": Sample(_compared_backward, rows=1000),
    # Whole numbers alone go in.
    "pixels_at": Sample(_photographs, half=None),
    "doubles": Sample(_numbers, rows=300, tolerance=1e-7),
    "step_alphas": Sample(lambda g, dtype, n: (9 * uniform(g, dtype, n), uniform(g, dtype, n)), differentiable=(0,)),
    "step_alphas_backward": Sample(
        lambda g, dtype, n: (normal(g, dtype, n), uniform(g, dtype, n), uniform(g, dtype, n))
    ),
    "ray_points": Sample(_on_rays, differentiable=(0, 1), rows=1000),
    # Where samples stand, and which are the last, hangs on rounding, as for march.
    "trace_hash_grid": Sample(_traced, tolerance=2e-4, rows=3000, reference_dtype=torch.float32, half=None),
}
