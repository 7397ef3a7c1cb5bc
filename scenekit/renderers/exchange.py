"""Splats that several processes hold, seen by the cameras of each.

Every process projects what it holds for the pinholes of all, and sends each what its pinholes see of it: a row of
twelve floats a splat, whatever it has learnt. Gradients of rows travel back the same way, those of a pinhole's pose to
the process whose camera it is. Only rows that are seen travel; how many those are the host must know, so it waits for
the GPU once a step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as processes
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from scenekit.core.context import Share
from scenekit.kernels.op import once_differentiable
from scenekit.kernels.project import Projected

DEPTH = 9  # the column of a row
USED = 10  # columns of a row that hold something
HALF = 2**20  # rows that one column can tell apart; two can a million times as many


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


def told(share: Share, pinholes: Sequence[Pinhole]) -> list[list[Pinhole]]:
    """Those of every process, by rank; gradients reach ours wherever they are used."""
    counts = _said(share, torch.tensor([[len(pinholes)]])).flatten().tolist()
    plain = torch.zeros(max(counts), 6, dtype=torch.float64)
    for row, pinhole in zip(plain, pinholes, strict=False):
        row.copy_(torch.tensor([*pinhole.size, pinhole.near, pinhole.blur, *pinhole.unit], dtype=torch.float64))
    plains = _said(share, plain).tolist()
    numbers = torch.stack([torch.cat([p.world_from_camera.flatten(), p.intrinsics]) for p in pinholes])
    every = _Told.apply(torch.nn.functional.pad(numbers, (0, 0, 0, max(counts) - len(pinholes))), share)
    return [
        [
            Pinhole(pose.view(3, 4), intrinsics, (int(width), int(height)), near, blur, (x, y))
            for (pose, intrinsics), (width, height, near, blur, x, y) in zip(
                (row.split([12, 4]) for row in every[rank]), plains[rank][:count], strict=False
            )
        ]
        for rank, count in enumerate(counts)
    ]


def exchanged(share: Share, projected: Sequence[Sequence[Projected]], places: Int[Tensor, " N"]) -> list[Projected]:
    """From what each process's pinholes see of our splats, what our pinholes see of all: one for each of ours.

    ``places`` are those of our splats among all. Rows come in that order, so that of splats at the same depth the same
    is in front however many processes there are.
    """
    flats = [flat for each in projected for flat in each]
    masks = [flat.depths > 0 for flat in flats]
    sent = torch.stack([mask.sum() for mask in masks]).tolist()
    begin = sum(len(each) for each in projected[: share.rank])
    ours = slice(begin, begin + len(projected[share.rank]))
    received = _said(share, torch.tensor([sent]))[:, 0, ours].tolist()  # from every process, for each of our pinholes
    counts = iter(sent)
    sending = [sum(next(counts) for _ in each) for each in projected]
    placed = torch.stack([places // HALF, places % HALF], -1).to(flats[0].rows.device)
    rows = torch.cat([_placed(flat.rows[mask], placed[mask]) for flat, mask in zip(flats, masks, strict=True)])
    arrived = _Exchanged.apply(rows, sending, [sum(each) for each in received])
    parts = arrived.split([count for each in received for count in each])
    return [_sorted(torch.cat(parts[index :: ours.stop - begin])) for index in range(ours.stop - begin)]


def _placed(rows: Float[Tensor, "n 12"], placed: Int[Tensor, "n 2"]) -> Float[Tensor, "n 12"]:
    """Rows with their places where they have nothing: floats hold integers of 24 bits exactly."""
    return torch.cat([rows[:, :USED], placed.to(rows)], -1)


def _sorted(rows: Float[Tensor, "n 12"]) -> Projected:
    """By place."""
    high, low = rows[:, USED:].detach().long().unbind(-1)
    table = rows.index_select(0, (high * HALF + low).argsort())
    return Projected(table, table[:, DEPTH].detach().contiguous())


def _said(share: Share, numbers: Shaped[Tensor, "a b"]) -> Shaped[Tensor, "P a b"]:
    """Plain numbers of every process, of which each has as many; no GPU is asked."""
    parts = [torch.empty_like(numbers) for _ in range(share.of)]
    processes.all_gather(parts, numbers)  # pyright: ignore[reportUnknownMemberType]
    return torch.stack(parts)


class _Told(torch.autograd.Function):
    """[J 16] of each process to [P J 16] in all."""

    @staticmethod
    def forward(ctx: Any, numbers: Tensor, share: Share) -> Tensor:
        ctx.share = share
        parts = [torch.empty_like(numbers) for _ in range(share.of)]
        processes.all_gather(parts, numbers.contiguous())
        return torch.stack(parts)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        total = gradients[0].contiguous().clone()
        processes.all_reduce(total)
        return total[ctx.share.rank], None


class _Exchanged(torch.autograd.Function):
    """Rows in the order of their receivers to rows in the order of their senders."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, sent: list[int], received: list[int]) -> Tensor:
        ctx.sent, ctx.received = sent, received
        arrived = rows.new_empty(sum(received), *rows.shape[1:])
        processes.all_to_all_single(arrived, rows.contiguous(), received, sent)
        return arrived

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        back = gradients[0].new_empty(sum(ctx.sent), *gradients[0].shape[1:])
        processes.all_to_all_single(back, gradients[0].contiguous(), ctx.sent, ctx.received)
        return back, None, None
