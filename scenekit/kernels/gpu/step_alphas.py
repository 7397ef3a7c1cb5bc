"""Launches of ``cuda/step_alphas.cu``."""

from __future__ import annotations

import torch
from torch import Tensor

from scenekit.kernels.gpu.compile import Source
from scenekit.kernels.gpu.launch import blocks_for, launch

THREADS = 256
SOURCE = Source.of("step_alphas")


def step_alphas(densities: Tensor, deltas: Tensor) -> Tensor:
    """Alphas [S]."""
    return _launch("step_alphas", densities, deltas)


def step_alphas_backward(gradient: Tensor, alphas: Tensor, deltas: Tensor) -> Tensor:
    """The gradient of densities [S]."""
    return _launch("step_alphas_backward", gradient, alphas, deltas)


def _launch(name: str, *tensors: Tensor) -> Tensor:
    inputs = [x.contiguous() for x in tensors]
    count, result = len(inputs[0]), torch.empty_like(inputs[0])
    launch(SOURCE, name, blocks_for(count, THREADS), THREADS, *inputs, count, result)
    return result
