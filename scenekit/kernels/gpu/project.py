"""Launches of ``cuda/project.cu``."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from scenekit.kernels.gpu.compile import Source
from scenekit.kernels.gpu.launch import aligned, blocks_for, launch

THREADS = 256
SOURCE = Source.of("project")


def project(*arguments: Any) -> tuple[Tensor, ...]:
    """Means, depths, conics, compensations and radii; arguments as the op's."""
    tensors, settings = arguments[:5], arguments[5:]
    means = tensors[0]
    count = means.shape[0]
    results = (
        means.new_empty(count, 2),
        means.new_empty(count),
        means.new_empty(count, 3),
        means.new_empty(count),
        means.new_empty(count, 2, dtype=torch.int32),
    )
    launch(SOURCE, "project", blocks_for(count, THREADS), THREADS, *_inputs(tensors, count, settings), *results)
    return results


def project_backward(*arguments: Any) -> tuple[Tensor, ...]:
    """Gradients to means, quaternions, scales and camera; arguments as the op's. Every sum is in a fixed order."""
    gradients, tensors, settings = arguments[:4], arguments[4:9], arguments[9:]
    count = tensors[0].shape[0]
    results = tuple(x.new_empty(x.shape) for x in tensors[:3])
    blocks = blocks_for(count, THREADS)
    partial = tensors[0].new_empty(blocks, 12)
    given = [aligned(x) for x in gradients]
    inputs = _inputs(tensors, count, settings)
    launch(SOURCE, "project_backward", blocks, THREADS, *given, *inputs, *results, partial)
    return (*results, partial.sum(0).view(3, 4))


def _inputs(tensors: tuple[Tensor, ...], count: int, settings: tuple[Any, ...]) -> list[Any]:
    width, height, near, blur = settings
    return [*(aligned(x) for x in tensors), count, width, height, float(near), float(blur)]
