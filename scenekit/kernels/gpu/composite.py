"""Launches of ``cuda/composite.cu``."""

from __future__ import annotations

from torch import Tensor

from scenekit.kernels.gpu.compile import Source
from scenekit.kernels.gpu.launch import blocks_for, launch

THREADS = 128
RAYS = THREADS // 32  # a warp takes a ray
MOST_CHANNELS = 32  # that a thread keeps in registers


def forward(alphas: Tensor, colors: Tensor, distances: Tensor, offsets: Tensor) -> tuple[Tensor, ...]:
    """Colours [R C], opacities [R], distances [R], weights [S]; nobody looks whether offsets lie within the samples."""
    inputs = [x.contiguous() for x in (alphas, colors, distances, offsets)]
    rays, (samples, channels) = len(offsets) - 1, colors.shape
    results = colors.new_empty(rays, channels), *(alphas.new_empty(n) for n in (rays, rays, samples))
    launch(source(channels), "composite", _blocks(rays), THREADS, *inputs, rays, samples, *results)
    return results


def backward(cotangents: tuple[Tensor | None, ...], samples: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
    """Gradients of alphas [S] and colours [S C]; those of distances and of weights may be None."""
    inputs = [None if x is None else x.contiguous() for x in (*cotangents, *samples)]
    alphas, colors, _, offsets = samples
    rays, (count, channels) = len(offsets) - 1, colors.shape
    results = alphas.new_empty(count), colors.new_empty(count, channels)
    launch(source(channels), "composite_backward", _blocks(rays), THREADS, *inputs, rays, count, *results)
    return results


def _blocks(rays: int) -> int:
    """One where there is no ray: samples that are nobody's want their zeros too."""
    return max(1, blocks_for(rays, RAYS))


def source(channels: int) -> Source:
    """Specialised by the number of channels."""
    return Source.of("composite", CHANNELS=channels)
