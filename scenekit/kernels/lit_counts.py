"""How far light reaches along rays whose densities are known."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from scenekit.core.checks import check_shape
from scenekit.kernels.gpu import lit_counts as gpu
from scenekit.kernels.op import register

OPAQUE = 9.21  # optical thickness behind which less than 1e-4 of the light is left


def lit_counts(thickness: Float[Tensor, " S"], offsets: Int[Tensor, " R1"]) -> Int[Tensor, " R"]:
    """How many samples of each ray have an optical thickness below ``OPAQUE`` before them: the first ones.

    ``thickness`` is that of each sample, its density times its length, not negative; what is not a number is opaque.
    ``offsets`` [R + 1] are the first sample of every ray and the end of the last one's, as
    :func:`~scenekit.kernels.march.march` gives them. Not differentiable. Raises ValueError for a wrong shape or type.
    """
    check_shape("thickness", thickness, ("S",), {})
    check_shape("offsets", offsets, ("R + 1",), {})
    if not thickness.is_floating_point():
        raise ValueError(f"thickness: wanted a floating dtype, found {thickness.dtype}")
    if offsets.dtype != torch.int64 or len(offsets) == 0:
        raise ValueError(f"offsets: wanted int64 [R + 1], found {offsets.dtype} {list(offsets.shape)}")
    return LIT_COUNTS(thickness, offsets)


def _reference(thickness: Tensor, offsets: Tensor) -> Tensor:
    used = int(offsets[-1])
    # One sum over all rays, in float64: what is far thicker than opaque would drown what comes after it, what is
    # barely so might not be opaque to rounding.
    own = torch.where(thickness < OPAQUE, thickness, 2 * OPAQUE)[:used].double()
    before = own.cumsum(0) - own
    owners = torch.repeat_interleave(offsets.diff(), output_size=used)
    lit = before - before[offsets[:-1].clamp(max=used - 1)][owners] < OPAQUE if used else own > 0
    return offsets.new_zeros(len(offsets) - 1).index_add(0, owners, lit.long())


LIT_COUNTS = register(
    "lit_counts(Tensor thickness, Tensor offsets) -> Tensor",
    _reference,
    fake=lambda _, offsets: offsets.new_empty(offsets.shape[0] - 1),
    cuda=gpu.lit_counts,
)
