"""Differentiable operators: per op one public checked function, a plain-torch reference, native bodies."""

from scenekit.kernels.op import Op
from scenekit.kernels.spherical_harmonics import (
    SPHERICAL_HARMONICS,
    SPHERICAL_HARMONICS_BACKWARD,
    spherical_harmonics,
)

OPS: dict[str, Op] = {op.name: op for op in (SPHERICAL_HARMONICS, SPHERICAL_HARMONICS_BACKWARD)}

__all__ = ["OPS", "spherical_harmonics"]
