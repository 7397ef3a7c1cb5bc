"""Differentiable operators: per op one public checked function, a plain-torch reference, native bodies."""

from scenekit.kernels.adam import ADAM, adam_, adam_numbers
from scenekit.kernels.assign_fours import ASSIGN_FOURS, assign_fours_
from scenekit.kernels.composite import COMPOSITE, COMPOSITE_BACKWARD, Composited, composite
from scenekit.kernels.doubles import DOUBLES, doubles
from scenekit.kernels.grid_layout import GridLayout
from scenekit.kernels.grid_sort import neighbour_variance, sort_into_grid
from scenekit.kernels.hash_grid import HASH_GRID, HASH_GRID_BACKWARD, hash_grid
from scenekit.kernels.intersect import INTERSECT, Tiles, intersect
from scenekit.kernels.lit_counts import LIT_COUNTS, lit_counts
from scenekit.kernels.march import MARCH, Marched, StepRule, march
from scenekit.kernels.mlp import MLP, MLP_BACKWARD, mlp
from scenekit.kernels.nearest import NEAREST, nearest
from scenekit.kernels.neighbourhood_means import NEIGHBOURHOOD_MEANS, neighbourhood_means
from scenekit.kernels.op import Op
from scenekit.kernels.pack_cells import PACK_CELLS, pack_cells
from scenekit.kernels.pinhole_rays import PINHOLE_RAYS, PinholeRays, pinhole_rays
from scenekit.kernels.pixel_loss import PIXEL_LOSS, PIXEL_LOSS_BACKWARD, PixelLoss, pixel_loss
from scenekit.kernels.pixels_at import PIXELS_AT, PixelsAt, pixel_numbers, pixels_at
from scenekit.kernels.project import PROJECT, PROJECT_BACKWARD, Projected, project
from scenekit.kernels.radiance import RADIANCE, RADIANCE_BACKWARD, radiance
from scenekit.kernels.rasterize import RASTERIZE, RASTERIZE_BACKWARD, Raster, rasterize
from scenekit.kernels.ray_cube import RAY_CUBE, ray_cube
from scenekit.kernels.ray_points import RAY_POINTS, ray_points
from scenekit.kernels.rbf import adaptive_rbf, rbf_neurons
from scenekit.kernels.simplex_grid import SIMPLEX_GRID, SIMPLEX_GRID_BACKWARD, simplex_grid, simplex_layout
from scenekit.kernels.spherical_harmonics import (
    HARMONIC_COLORS,
    HARMONIC_COLORS_BACKWARD,
    SPHERICAL_HARMONICS,
    SPHERICAL_HARMONICS_BACKWARD,
    harmonic_colors,
    harmonics_by_recurrence,
    spherical_harmonics,
)
from scenekit.kernels.ssim import L1_DSSIM, L1_DSSIM_BACKWARD, SSIM, SSIM_BACKWARD, l1_dssim, ssim
from scenekit.kernels.step_alphas import STEP_ALPHAS, STEP_ALPHAS_BACKWARD, step_alphas
from scenekit.kernels.trace_hash_grid import TRACE_HASH_GRID, GridField, Stretches, trace_hash_grid
from scenekit.kernels.truncated_exp import truncated_exp

OPS: dict[str, Op] = {
    op.name: op
    for op in (
        ADAM,
        ASSIGN_FOURS,
        COMPOSITE,
        COMPOSITE_BACKWARD,
        DOUBLES,
        HARMONIC_COLORS,
        HARMONIC_COLORS_BACKWARD,
        HASH_GRID,
        HASH_GRID_BACKWARD,
        INTERSECT,
        LIT_COUNTS,
        L1_DSSIM,
        L1_DSSIM_BACKWARD,
        MARCH,
        MLP,
        MLP_BACKWARD,
        NEIGHBOURHOOD_MEANS,
        NEAREST,
        PACK_CELLS,
        PINHOLE_RAYS,
        PIXEL_LOSS,
        PIXEL_LOSS_BACKWARD,
        PIXELS_AT,
        PROJECT,
        PROJECT_BACKWARD,
        RADIANCE,
        RADIANCE_BACKWARD,
        RASTERIZE,
        RASTERIZE_BACKWARD,
        RAY_CUBE,
        RAY_POINTS,
        SIMPLEX_GRID,
        SIMPLEX_GRID_BACKWARD,
        SPHERICAL_HARMONICS,
        SPHERICAL_HARMONICS_BACKWARD,
        SSIM,
        SSIM_BACKWARD,
        STEP_ALPHAS,
        STEP_ALPHAS_BACKWARD,
        TRACE_HASH_GRID,
    )
}

__all__ = [
    "OPS",
    "Composited",
    "GridField",
    "GridLayout",
    "Marched",
    "Op",
    "PinholeRays",
    "PixelLoss",
    "PixelsAt",
    "Projected",
    "Raster",
    "StepRule",
    "Stretches",
    "Tiles",
    "adam_",
    "adam_numbers",
    "adaptive_rbf",
    "assign_fours_",
    "composite",
    "doubles",
    "harmonic_colors",
    "harmonics_by_recurrence",
    "hash_grid",
    "intersect",
    "l1_dssim",
    "lit_counts",
    "march",
    "mlp",
    "nearest",
    "neighbour_variance",
    "neighbourhood_means",
    "pack_cells",
    "pinhole_rays",
    "pixel_loss",
    "pixel_numbers",
    "pixels_at",
    "project",
    "radiance",
    "rasterize",
    "ray_cube",
    "ray_points",
    "rbf_neurons",
    "simplex_grid",
    "simplex_layout",
    "sort_into_grid",
    "spherical_harmonics",
    "ssim",
    "step_alphas",
    "trace_hash_grid",
    "truncated_exp",
]
