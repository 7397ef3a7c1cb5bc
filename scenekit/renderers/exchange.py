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

    Rows are those of one process after another; of splats at the same depth the same is in front however many
    processes there are.
    """
    rows = torch.cat([flat.rows for each in projected for flat in each])
    tables: Tensor = _Exchanged.apply(rows, dealt, [len(each) for each in projected])  # pyright: ignore
    order = dealt.places_on(rows.device)
    return [Projected(table, table[:, DEPTH].detach().contiguous(), order) for table in tables]


class _Exchanged(torch.autograd.Function):
    """Rows of ours for the pinholes of each process [. 12] to those of all for our pinholes [J N 12]."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, dealt: Dealt, pinholes: list[int]) -> Tensor:
        own, ours = dealt.counts[dealt.share.rank], pinholes[dealt.share.rank]
        ctx.counts = dealt.counts
        ctx.sent, ctx.received = [own * count for count in pinholes], [ours * count for count in dealt.counts]
        arrived = rows.new_empty(sum(ctx.received), COLUMNS)
        processes.all_to_all_single(arrived, rows.contiguous(), ctx.received, ctx.sent)
        return _by_pinhole(arrived, ours, ctx.counts)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        sent = _by_process(gradients[0], ctx.counts)
        back = sent.new_empty(sum(ctx.sent), COLUMNS)
        processes.all_to_all_single(back, sent, ctx.sent, ctx.received)
        return back, None, None


def _by_pinhole(rows: Tensor, pinholes: int, counts: list[int]) -> Tensor:
    """Of each process rows for one pinhole after another [. 12], as tables of all rows [J N 12]; one is not copied."""
    if pinholes == 1:
        return rows[None]
    blocks = zip(rows.split([pinholes * count for count in counts]), counts, strict=True)
    return torch.cat([block.view(pinholes, count, COLUMNS) for block, count in blocks], 1)


def _by_process(tables: Tensor, counts: list[int]) -> Tensor:
    """The way back."""
    if len(tables) == 1:
        return tables[0].contiguous()
    return torch.cat([block.reshape(-1, COLUMNS) for block in tables.split(counts, 1)])
