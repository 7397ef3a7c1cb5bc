"""Launches of ``cuda/adam.cu``."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from scenekit.kernels.gpu.compile import Source
from scenekit.kernels.gpu.launch import blocks_for, launch

THREADS = 256
SOURCE = Source.of("adam")


def step_(state: Sequence[Tensor], gradient: Tensor, numbers: Sequence[float], sparse: bool) -> None:
    """Change parameter and moments in place; ``numbers`` are the members of ``AdamStep``.

    They are arguments of the launch: a graph that captured it would repeat the step's own bias corrections.
    """
    value, first, second = (x.contiguous() for x in state)
    arrays = (value, gradient.contiguous(), first, second)
    whole = all(x.data_ptr() % 16 == 0 for x in arrays)
    count, floats = value.numel(), [float(x) for x in numbers]
    launch(SOURCE, "adam", blocks_for(count, 4 * THREADS), THREADS, *arrays, count, *floats, sparse, whole)
    for old, new in zip(state, (value, first, second), strict=True):
        if new is not old:
            old.copy_(new)
