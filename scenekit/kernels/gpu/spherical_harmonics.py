"""Launches of ``cuda/spherical_harmonics.cu``."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import torch
from torch import Tensor

from scenekit.kernels.gpu.compile import Source
from scenekit.kernels.gpu.launch import aligned, blocks_for, launch

THREADS = 128


def basis(directions: Tensor, degree: int) -> Tensor:
    """Values [N K] at directions [N 3]."""
    directions, count = directions.contiguous(), directions.shape[0]
    result = directions.new_empty(count, (degree + 1) ** 2)
    launch(source(degree), "spherical_harmonics", blocks_for(count, THREADS), THREADS, directions, count, result)
    return result


def basis_backward(gradient: Tensor, directions: Tensor, degree: int) -> Tensor:
    """Gradient [N 3] from one of the basis [N K]."""
    directions, count = directions.contiguous(), directions.shape[0]
    result = torch.empty_like(directions)
    arguments = (gradient.contiguous(), directions, count, result)
    launch(source(degree), "spherical_harmonics_backward", blocks_for(count, THREADS), THREADS, *arguments)
    return result


def colors(coefficients: Tensor, directions: Tensor, degree: int) -> Tensor:
    """Colours [N 3] of coefficients [N stored 3]."""
    coefficients, directions, count = _used(coefficients, degree), directions.contiguous(), directions.shape[0]
    result = torch.empty_like(directions)
    arguments = (coefficients, directions, count, result)
    launch(source(degree), "harmonic_colors", blocks_for(count, THREADS), THREADS, *arguments)
    return result


def colors_backward(
    gradient: Tensor, coefficients: Tensor, directions: Tensor, degree: int, wanted: Sequence[bool]
) -> tuple[Tensor, Tensor]:
    """Gradients to coefficients and directions; empty where not wanted."""
    inputs, count = (_used(coefficients, degree), directions.contiguous()), directions.shape[0]
    results = [torch.empty_like(x) if want else None for x, want in zip(inputs, wanted, strict=True)]
    arguments = (gradient.contiguous(), *inputs, count, *results)
    launch(source(degree), "harmonic_colors_backward", blocks_for(count, THREADS), THREADS, *arguments)
    first, second = (x.new_empty(0) if r is None else r for x, r in zip(inputs, results, strict=True))
    unused = coefficients.shape[1] - inputs[0].shape[1]
    return torch.nn.functional.pad(first, (0, 0, 0, unused)) if wanted[0] and unused else first, second


def _used(coefficients: Tensor, degree: int) -> Tensor:
    return aligned(coefficients[:, : (degree + 1) ** 2])


@cache
def source(degree: int) -> Source:
    """Specialised by degree."""
    return Source.of("spherical_harmonics", DEGREE=degree)
