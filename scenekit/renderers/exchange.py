"""Splats that several processes hold, seen by the cameras of each.

Every process projects what it holds for the pinholes of all, and sends each what its pinholes see of it: a row of
twelve floats a splat, whatever it has learnt. Gradients of rows travel back the same way. All rows travel, those that
are not seen as zeros: how many there are everybody knows, so that no host waits for a GPU, and steps can be recorded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as processes
from jaxtyping import Float
from torch import Tensor

from scenekit.core.rows import Dealt
from scenekit.kernels.op import once_differentiable
from scenekit.kernels.project import COLUMNS, Projected

DEPTH = 9  # the column of a row


@dataclass(frozen=True)
class Pinhole:
    """What a splat is projected by.

    Attributes:
        world_from_camera, intrinsics, size: as cameras have them.
        near: the depth before which nothing is seen.
        blur: in its own pixels.
        unit: times a gradient by its pixels, of a mean over the camera's picture: that gradient by normalised device
            coordinates, x and y, of a mean over a picture as a pinhole has one.
    """

    world_from_camera: Float[Tensor, "3 4"]
    intrinsics: Float[Tensor, "4"]
    size: tuple[int, int]
    near: float
    blur: float
    unit: tuple[float, float]


def exchanged(dealt: Dealt, projected: Sequence[Sequence[Projected]]) -> list[Projected]:
    """From what each process's pinholes see of our splats, what our pinholes see of all: one for each of ours.

    Rows come in the order that all have, so that of splats at the same depth the same is in front however many
    processes there are.
    """
    rows = torch.cat([flat.rows for each in projected for flat in each])
    tables: Tensor = _Exchanged.apply(rows, dealt, [len(each) for each in projected])  # pyright: ignore
    return [Projected(table, table[:, DEPTH].detach().contiguous()) for table in tables]


class _Exchanged(torch.autograd.Function):
    """Rows of ours for the pinholes of each process [. 12] to those of all for our pinholes [J N 12]."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, dealt: Dealt, pinholes: list[int]) -> Tensor:
        own, ours = dealt.counts[dealt.share.rank], pinholes[dealt.share.rank]
        ctx.order, ctx.counts = dealt.order_on(rows.device), dealt.counts
        ctx.sent, ctx.received = [own * count for count in pinholes], [ours * count for count in dealt.counts]
        arrived = rows.new_empty(sum(ctx.received), COLUMNS)
        processes.all_to_all_single(arrived, rows.contiguous(), ctx.received, ctx.sent)
        from_each = zip(arrived.split(ctx.received), ctx.counts, strict=True)
        blocks = [block.view(ours, count, COLUMNS) for block, count in from_each]
        return torch.cat(blocks, 1).index_select(1, ctx.order.places)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        blocks = gradients[0].index_select(1, ctx.order.rows).split(ctx.counts, 1)
        sent = torch.cat([block.reshape(-1, COLUMNS) for block in blocks])
        back = sent.new_empty(sum(ctx.sent), COLUMNS)
        processes.all_to_all_single(back, sent, ctx.sent, ctx.received)
        return back, None, None
