"""Emission and absorption along rays, front to back: ``w_i = a_i prod_{j<i} (1 - a_j)`` (NeRF, eq. 3)."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from scenekit.core.checks import check_same_kind, check_shape
from scenekit.kernels import native
from scenekit.kernels.gpu import composite as gpu
from scenekit.kernels.op import below_autograd, once_differentiable, reference_gradients, register

STOP = 1e-4  # samples that less of the light would reach are left out
INVISIBLE = 1e-4  # a sample with no more weight may be left without a colour outside training


class Composited(NamedTuple):
    """What each ray sees, without a background.

    Attributes:
        colors: sum of weight times colour [R C].
        opacities: sum of weights [R].
        distances: sum of weight times distance, not divided by the opacity [R].
        weights: of each sample, exactly 0 behind the stop [S].
    """

    colors: Float[Tensor, "R C"]
    opacities: Float[Tensor, " R"]
    distances: Float[Tensor, " R"]
    weights: Float[Tensor, " S"]


def composite(
    alphas: Float[Tensor, " S"],
    colors: Float[Tensor, "S C"],
    distances: Float[Tensor, " S"],
    offsets: Int[Tensor, " R1"],
) -> Composited:
    """Composite packed samples; gradients to ``alphas`` and ``colors`` from all four results.

    ``offsets`` [R + 1] are the first sample of every ray and the end of the last one's; samples behind that are
    nobody's. Those, and samples that less than 1e-4 of the light would reach, have weight 0 and no gradient. Raises
    ValueError for a wrong shape or, on a CPU, offsets that do not lie within the samples, TypeError where dtypes or
    devices differ.
    """
    sizes: dict[str, int] = {}
    check_shape("alphas", alphas, ("S",), sizes)
    check_shape("colors", colors, ("S", "C"), sizes)
    check_shape("distances", distances, ("S",), sizes)
    check_shape("offsets", offsets, ("R + 1",), sizes)
    check_same_kind("alphas", alphas, colors=colors, distances=distances)
    if offsets.dtype != torch.int64 or len(offsets) == 0:
        raise ValueError(f"offsets: wanted int64 [R + 1], found {offsets.dtype} {list(offsets.shape)}")
    return Composited(*COMPOSITE(alphas, colors, distances, offsets))


def composite_light(
    alphas: Float[Tensor, " S"], distances: Float[Tensor, " S"], offsets: Int[Tensor, " R1"]
) -> Composited:
    """What :func:`composite` finds of samples whose colours are not asked for: opacities, distances and weights."""
    return composite(alphas, alphas.new_zeros(len(alphas), 0), distances, offsets)


def light_before(alphas: Float[Tensor, " S"], offsets: Int[Tensor, " R1"]) -> Float[Tensor, " S"]:
    """What share of the light passes all earlier samples of the same ray."""
    counts = offsets.diff()
    rays, longest = len(counts), int(counts.max()) if len(counts) else 0
    owners = torch.repeat_interleave(counts, output_size=len(alphas))
    places = torch.arange(len(alphas), device=alphas.device) - offsets[owners]
    # One row per ray, padded with nothing; the leading 1 is the light before the first sample.
    passed = alphas.new_ones(rays, longest + 1).index_put((owners, places + 1), 1 - alphas)
    return passed.cumprod(1)[owners, places]


def _reference(
    alphas: Tensor, colors: Tensor, distances: Tensor, offsets: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    dtype = alphas.dtype
    wide = torch.promote_types(dtype, torch.float32)
    alphas, colors, distances = alphas.to(wide), colors.to(wide), distances.to(wide)
    rays, used, samples = len(offsets) - 1, int(offsets[-1]), len(alphas)
    alphas, colors, distances = alphas[:used], colors[:used], distances[:used]
    before = light_before(alphas, offsets)
    owners = torch.repeat_interleave(offsets.diff(), output_size=used)
    weights = torch.where(before.detach() >= STOP, before * alphas, 0)
    color = colors.new_zeros(rays, colors.shape[1]).index_add(0, owners, weights[:, None] * colors)
    opacity = weights.new_zeros(rays).index_add(0, owners, weights)
    distance = weights.new_zeros(rays).index_add(0, owners, weights * distances)
    weights = torch.cat([weights, weights.new_zeros(samples - used)])
    return color.to(dtype), opacity.to(dtype), distance.to(dtype), weights.to(dtype)


def _backward_reference(
    for_colors: Tensor,
    for_opacities: Tensor,
    for_distances: Tensor | None,
    for_weights: Tensor | None,
    alphas: Tensor,
    colors: Tensor,
    distances: Tensor,
    offsets: Tensor,
) -> tuple[Tensor, Tensor]:
    inputs, seeds = (
        (alphas, colors, distances, offsets),
        (for_colors, for_opacities, for_distances, for_weights),
    )
    found = reference_gradients(_reference, inputs, (0, 1), seeds)
    return found[0], found[1]


def _check_span(offsets: Tensor, samples: int) -> int:
    """The end of the last ray, which lies within the samples."""
    first, last = int(offsets[0]), int(offsets[-1])
    if first != 0 or not 0 <= last <= samples:
        raise ValueError(f"offsets: wanted 0 to at most {samples} samples, found {first} to {last}")
    return last


def _cpu(alphas: Tensor, colors: Tensor, distances: Tensor, offsets: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    used = _check_span(offsets, len(alphas))
    if not native.serves(alphas, colors, distances):
        return _reference(alphas, colors, distances, offsets)
    inputs = [x.contiguous() for x in (alphas, colors, distances, offsets)]
    rays, (samples, channels) = len(offsets) - 1, colors.shape
    color, weights = colors.new_empty(rays, channels), torch.empty_like(inputs[0])
    weights[used:] = 0  # the loops write samples of rays alone
    opacity, distance = (alphas.new_empty(rays) for _ in range(2))
    native.call("composite", *inputs, rays, samples, channels, color, opacity, distance, weights)
    return color, opacity, distance, weights


def _backward_cpu(
    for_colors: Tensor,
    for_opacities: Tensor,
    for_distances: Tensor | None,
    for_weights: Tensor | None,
    alphas: Tensor,
    colors: Tensor,
    distances: Tensor,
    offsets: Tensor,
) -> tuple[Tensor, Tensor]:
    for_distances = torch.zeros_like(for_opacities) if for_distances is None else for_distances
    for_weights = torch.zeros_like(alphas) if for_weights is None else for_weights
    tensors = (for_colors, for_opacities, for_distances, for_weights, alphas, colors, distances, offsets)
    if not native.serves(*tensors):
        return _backward_reference(*tensors)
    inputs = [x.contiguous() for x in tensors]
    results = torch.empty_like(inputs[4]), torch.empty_like(inputs[5])
    for result in results:
        result[_check_span(offsets, len(alphas)) :] = 0
    native.call("composite_backward", *inputs, len(offsets) - 1, *colors.shape, *results)
    return results


def _cuda(alphas: Tensor, colors: Tensor, distances: Tensor, offsets: Tensor) -> tuple[Tensor, ...]:
    if colors.shape[1] > gpu.MOST_CHANNELS:
        return _reference(alphas, colors, distances, offsets)
    return gpu.forward(alphas, colors, distances, offsets)


def _backward_cuda(
    for_colors: Tensor,
    for_opacities: Tensor,
    for_distances: Tensor | None,
    for_weights: Tensor | None,
    alphas: Tensor,
    colors: Tensor,
    distances: Tensor,
    offsets: Tensor,
) -> tuple[Tensor, Tensor]:
    cotangents = (for_colors, for_opacities, for_distances, for_weights)
    if colors.shape[1] > gpu.MOST_CHANNELS:
        return _backward_reference(*cotangents, alphas, colors, distances, offsets)
    return gpu.backward(cotangents, (alphas, colors, distances, offsets))


class _Composite(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *inputs: Tensor) -> tuple[Tensor, ...]:
        found = below_autograd("composite", *inputs)
        ctx.save_for_backward(*inputs)
        ctx.shapes = [x.shape for x in found[:2]]
        ctx.set_materialize_grads(False)
        return found

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        saved, shapes = ctx.saved_tensors, ctx.shapes
        always = (saved[0].new_zeros(s) if g is None else g for g, s in zip(gradients[:2], shapes, strict=True))
        results = torch.ops.scenekit.composite_backward(*always, *gradients[2:], *saved)
        found = (x if want else None for x, want in zip(results, ctx.needs_input_grad, strict=False))
        return (*found, None, None)


def _fake(alphas: Tensor, colors: Tensor, distances: Tensor, offsets: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    rays = offsets.shape[0] - 1
    color = colors.new_empty(rays, colors.shape[1])
    return color, alphas.new_empty(rays), alphas.new_empty(rays), alphas.new_empty(alphas.shape)


_SAMPLES = "Tensor alphas, Tensor colors, Tensor distances, Tensor offsets"
COMPOSITE = register(
    f"composite({_SAMPLES}) -> (Tensor color, Tensor opacity, Tensor distance, Tensor weights)",
    _reference,
    fake=_fake,
    cpu=_cpu,
    cuda=_cuda,
    autograd=_Composite,
)
COMPOSITE_BACKWARD = register(
    "composite_backward(Tensor for_colors, Tensor for_opacities, Tensor? for_distances, Tensor? for_weights, "
    f"{_SAMPLES}) -> (Tensor for_alphas, Tensor for_samples)",
    _backward_reference,
    fake=lambda *tensors: (tensors[4].new_empty(tensors[4].shape), tensors[5].new_empty(tensors[5].shape)),
    cpu=_backward_cpu,
    cuda=_backward_cuda,
)
