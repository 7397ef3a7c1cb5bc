"""Spherical harmonics of a turned scene: coefficients that show to a turned direction what they showed before."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from scenekit.core.checks import check_shape
from scenekit.kernels.spherical_harmonics import MAX_DEGREE, spherical_harmonics

# Entries of a rotation matrix this near to -1, 0 or 1 are taken for it, so that quarter turns move values exactly.
NEARLY_WHOLE = 1e-9
ROWS = 1 << 16  # at once, so that turning needs little memory beside its result


def harmonic_rotation(rotation: Float[Tensor, "3 3"], degree: int) -> Float[Tensor, "K K"]:
    """The matrix D with ``Y(R d) = D Y(d)`` for every direction d, in float64; K is (degree + 1)^2.

    Degrees do not mix, so D is made of one orthogonal block per degree. Each follows from basis values at
    directions spread over the sphere, so it has the signs and the order of ``spherical_harmonics`` by construction.
    """
    turn = rotation.double().cpu()
    directions = _spread_directions(4 * (MAX_DEGREE + 1) ** 2)
    before = spherical_harmonics(directions, degree)
    after = spherical_harmonics(directions @ turn.T, degree)
    matrix = torch.zeros(before.shape[1], before.shape[1], dtype=torch.float64)
    for band in range(degree + 1):
        rows = slice(band * band, (band + 1) ** 2)
        matrix[rows, rows] = torch.linalg.lstsq(before[:, rows], after[:, rows]).solution.T
    whole = matrix.round()
    return torch.where((matrix - whole).abs() < NEARLY_WHOLE, whole, matrix)


def rotate_harmonics(coefficients: Float[Tensor, "N K C"], rotation: Float[Tensor, "3 3"]) -> Float[Tensor, "N K C"]:
    """Coefficients c' with ``sum_k c'_k Y_k(R d) = sum_k c_k Y_k(d)``: the colours turn with the scene.

    Raises ValueError where K is not (degree + 1)^2 of a degree from 0 to 4. Without gradients.
    """
    sizes: dict[str, int] = {}
    check_shape("coefficients", coefficients, ("N", "K", "C"), sizes)
    degree = math.isqrt(sizes["K"]) - 1
    if (degree + 1) ** 2 != sizes["K"] or not 0 <= degree <= MAX_DEGREE:
        raise ValueError(f"coefficients: wanted 1, 4, 9, 16 or 25 of them, found {sizes['K']}")
    matrix = harmonic_rotation(rotation, degree).to(coefficients)
    turned = torch.empty_like(coefficients)
    with torch.no_grad():
        for start in range(0, sizes["N"], ROWS):
            rows = slice(start, start + ROWS)
            torch.matmul(matrix, coefficients[rows], out=turned[rows])
    return turned


def _spread_directions(count: int) -> Float[Tensor, "n 3"]:
    """Points of a Fibonacci spiral over the unit sphere, in float64."""
    index = torch.arange(count, dtype=torch.float64)
    z = 1 - (2 * index + 1) / count
    angle = index * math.pi * (3 - math.sqrt(5))
    ring = (1 - z * z).sqrt()
    return torch.stack([ring * angle.cos(), ring * angle.sin(), z], -1)
