"""How many rows the emulated kernels run over where the samples' own number would take long."""

from __future__ import annotations

ROWS: dict[str, int] = {
    "trace_hash_grid": 150,
    "mlp": 200,
    "mlp_backward": 200,
    "lit_counts": 200,
    "march": 200,
    "l1_dssim": 40,
    "l1_dssim_backward": 40,
    "ssim": 40,
    "ssim_backward": 40,
    "adam_": 1500,
    "composite": 200,
    "composite_backward": 200,
    "hash_grid": 300,
    "hash_grid_backward": 300,
    "simplex_grid": 300,
    "simplex_grid_backward": 300,
    "project": 700,
    "project_backward": 700,
    "harmonic_colors": 700,
    "harmonic_colors_backward": 700,
    "spherical_harmonics": 700,
    "spherical_harmonics_backward": 700,
}
