"""Differentiable operators: per op one public checked function, a plain-torch reference, native bodies."""

from scenekit.kernels.hash_grid import HASH_GRID, HASH_GRID_BACKWARD, GridLayout, hash_grid
from scenekit.kernels.mlp import MLP, MLP_BACKWARD, mlp
from scenekit.kernels.op import Op
from scenekit.kernels.spherical_harmonics import (
    SPHERICAL_HARMONICS,
    SPHERICAL_HARMONICS_BACKWARD,
    spherical_harmonics,
)

OPS: dict[str, Op] = {
    op.name: op
    for op in (
        HASH_GRID,
        HASH_GRID_BACKWARD,
        MLP,
        MLP_BACKWARD,
        SPHERICAL_HARMONICS,
        SPHERICAL_HARMONICS_BACKWARD,
    )
}

__all__ = ["OPS", "GridLayout", "hash_grid", "mlp", "spherical_harmonics"]
