"""How far a ray's weight is spread along it (mip-NeRF 360, eq. 15), in linear time over packed samples."""

from __future__ import annotations

from jaxtyping import Float, Int
from torch import Tensor

from scenekit.renderers.early_stop import exclusive_sums


def distortion(
    weights: Float[Tensor, " S"],
    distances: Float[Tensor, " S"],
    deltas: Float[Tensor, " S"],
    owners: Int[Tensor, " S"],
    offsets: Int[Tensor, " R1"],
    extent: float,
) -> Float[Tensor, ""]:
    """Mean over rays of ``sum_ij w_i w_j |s_i - s_j| + 1/3 sum_i w_i^2 ds_i``.

    ``s = t / (t + 1)`` bends distances, so that what is far away may be spread more; within the inner cube
    (``extent`` 1) distances are taken as they are. Distances are sorted along each ray, so the double sum is
    one pass over prefix sums. ``owners`` are the samples' rays; samples that are nobody's weigh nothing.
    """
    if extent > 1:
        near_unit = 1 + distances
        positions, widths = distances / near_unit, deltas / near_unit.square()
    else:
        positions, widths = distances, deltas
    start = offsets[owners]
    before = exclusive_sums(weights, start)
    moment_before = exclusive_sums(weights * positions, start)
    pairs = 2 * weights * (positions * before - moment_before)
    own = weights.square() * widths / 3
    return (pairs + own).sum() / max(1, len(offsets) - 1)
