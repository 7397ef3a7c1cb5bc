"""Several processes on one training (torch.distributed): each sees its share of a batch, all take the same step.

What changes parameters that all hold is the same in all: gradients are averaged, generators stay alike
(:class:`~scenekit.core.context.Share`), and time is the first process's. With one process nothing here does anything.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager

import torch
import torch.distributed as processes
from torch import Tensor, nn

from scenekit.core.context import Share
from scenekit.core.protocols import ParameterGroup


def total(share: Share, *values: Tensor) -> None:
    """Replace each by its sum over the processes."""
    if share.of > 1:
        for value in values:
            processes.all_reduce(value)


def total_count(share: Share, count: int) -> int:
    """The sum over the processes."""
    counted = torch.tensor(count)
    total(share, counted)
    return int(counted)


def numbers_of_all(share: Share, number: int) -> tuple[int, ...]:
    """One of each process, by rank."""
    found = torch.zeros(share.of, dtype=torch.int64)
    found[share.rank] = number
    total(share, found)
    return tuple(found.tolist())  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType]


def decided(share: Share, *values: float) -> list[float]:
    """What the first process says, for what must not differ: the time, and whether to go on."""
    if share.of == 1:
        return list(values)
    said = torch.tensor(values, dtype=torch.float64)
    processes.broadcast(said, 0)
    return said.tolist()  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]


def average_gradients(share: Share, groups: Iterable[ParameterGroup], divided: Collection[nn.Parameter] = ()) -> None:
    """Every gradient becomes its mean; a parameter that one process alone has a gradient for gets one in all.

    Of what is ``divided`` each process has rows of its own, whose gradients are from all already.
    """
    if share.of == 1:
        return
    own = [parameter.grad for parameter in divided if parameter.grad is not None]
    if own:
        torch._foreach_div_(own, share.of)  # type: ignore[attr-defined]
    apart = {id(parameter) for parameter in divided}
    parameters = [p for group in groups for p in group.parameters.values() if id(p) not in apart]
    if not parameters:
        return
    learning = torch.tensor([parameter.grad is not None for parameter in parameters], dtype=torch.int32)
    processes.all_reduce(learning)
    under_way = []
    for parameter, count in zip(parameters, learning.tolist(), strict=True):
        if count == 0:
            continue
        parameter.grad = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad.contiguous()
        under_way.append((parameter.grad, processes.all_reduce(parameter.grad, async_op=True)))
    for gradient, work in under_way:
        assert work is not None
        work.wait()
        gradient.div_(share.of)


@contextmanager
def first_alone(share: Share) -> Iterator[None]:
    """The first process goes through the body before the others begin it, who then find the files that it left."""
    if share.rank > 0:
        processes.barrier()
    yield
    if share.of > 1 and share.rank == 0:
        processes.barrier()
