"""The nearest of many points: exact, and without a tree that would have to be kept beside them."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from scenekit.core.checks import check_same_kind, check_shape
from scenekit.kernels import native
from scenekit.kernels.gpu import nearest as gpu
from scenekit.kernels.op import register

PAIRS = 2**22  # distances that the reference holds at once


def nearest(queries: Float[Tensor, "S D"], points: Float[Tensor, "N D"], count: int) -> Int[Tensor, "S count"]:
    """Which ``count`` of ``points`` are nearest to each query, nearest first; no gradients.

    Raises ValueError for a wrong shape or where there are fewer points than ``count``, TypeError where dtypes or
    devices differ.
    """
    check_shape("queries", queries, ("S", "D"), {})
    check_shape("points", points, ("N", queries.shape[1]), {})
    check_same_kind("points", points, queries=queries)
    if not 1 <= count <= len(points):
        raise ValueError(f"count: wanted 1 to the number of points, {len(points)}, found {count}")
    return NEAREST(queries.detach(), points.detach(), count)


def _reference(queries: Tensor, points: Tensor, count: int) -> Tensor:
    dtype = torch.promote_types(queries.dtype, torch.float32)
    near = [
        (part[:, None] - points.to(dtype)).square().sum(-1).topk(count, largest=False).indices
        for part in queries.to(dtype).split(max(1, PAIRS // len(points)))
    ]
    return torch.cat(near)


def _cpu(queries: Tensor, points: Tensor, count: int) -> Tensor:
    if not native.serves(queries, points) or queries.shape[1] not in (2, 3):
        return _reference(queries, points, count)
    queries, points = queries.contiguous(), points.contiguous()
    found = torch.empty(len(queries), count, dtype=torch.int64)
    native.call("nearest", queries, len(queries), queries.shape[1], points, len(points), count, found)
    return found


def _cuda(queries: Tensor, points: Tensor, count: int) -> Tensor:
    return (gpu.nearest if gpu.serves(queries, points, count) else _reference)(queries, points, count)


NEAREST = register(
    "nearest(Tensor queries, Tensor points, int count) -> Tensor",
    _reference,
    fake=lambda queries, points, count: queries.new_empty(queries.shape[0], count, dtype=torch.int64),
    cpu=_cpu,
    cuda=_cuda,
)
