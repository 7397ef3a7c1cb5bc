"""Launches of ``cuda/project.cu``."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor

from scenekit.kernels.gpu.compile import Source
from scenekit.kernels.gpu.launch import aligned, blocks_for, launch

THREADS = 128
INPUTS = 8
COLUMNS = 12
CAMERA_FLOATS = 16


def project(*arguments: Any) -> tuple[Tensor, Tensor]:
    """Rows and depths; arguments as the op's."""
    tensors, settings = arguments[:INPUTS], arguments[INPUTS:]
    means: Tensor = tensors[0]
    count = means.shape[0]
    results = means.new_empty(count, COLUMNS), means.new_empty(count)
    used = source(tensors[4], tensors[5], settings[4], camera=False)
    launch(used, "project", blocks_for(count, THREADS), THREADS, *_inputs(tensors, count, settings), *results)
    return results


def project_backward(*arguments: Any) -> tuple[Tensor, ...]:
    """Gradients to the tensors of the op; arguments as the backward op's. Every sum is in a fixed order."""
    gradient, tensors, settings, (rest, camera) = arguments[0], arguments[1:9], arguments[9:-1], arguments[-1]
    count, blocks = gradient.shape[0], blocks_for(gradient.shape[0], THREADS)
    constant, flat = tensors[4] is not None, settings[4] == 0
    wanted = (True, True, True, True, constant, constant and rest and not flat)
    results = [x.new_empty(x.shape) if want else None for x, want in zip(tensors[:6], wanted, strict=True)]
    partial = gradient.new_empty(blocks, CAMERA_FLOATS) if camera else None
    used = source(tensors[4], tensors[5], settings[4], camera=camera)
    inputs = (aligned(gradient), *_inputs(tensors, count, settings))
    launch(used, "project_backward", blocks, THREADS, *inputs, *results, partial)
    if constant and rest and flat:  # no colour hangs on it
        results[5] = torch.zeros_like(tensors[5])
    found = [gradient.new_empty(0) if x is None else x for x in results]
    if partial is None:
        return (*found, gradient.new_empty(0), gradient.new_empty(0))
    total = partial.sum(0)
    return (*found, total[:12].view(3, 4), total[12:].clone())


def source(constant: Tensor | None, rest: Tensor | None, degree: int, *, camera: bool) -> Source:
    """By the degree and number of coefficients, and by whether the camera has a gradient."""
    if constant is None or rest is None:
        return specialised(-1, 0, camera)
    return specialised(degree, rest.shape[1] if degree > 0 else 0, camera)


@cache
def specialised(degree: int, stored: int, camera: bool) -> Source:
    """See :func:`source`."""
    return Source.of("project", DEGREE=degree, STORED=stored, CAMERA=int(camera))


def _inputs(tensors: Sequence[Tensor | None], count: int, settings: tuple[Any, ...]) -> list[Any]:
    width, height, near, blur, degree, antialiased = settings
    given = [None if x is None else aligned(x) for x in tensors]
    if degree == 0:
        given[5] = None
    return [*given, count, width, height, float(near), float(blur), antialiased]
