"""Rows that several processes hold together: every primitive is one process's, with its gradients and its moments.

They are dealt like cards, so that each process has its part of everything near by, and what is made of a row stays
with it. Who has which is known to all: what decides over all rows is computed in each process, from columns that were
gathered, and from the same random numbers. So any number of processes does to the whole what one does.
"""

from __future__ import annotations

from typing import Any, Protocol

import torch
import torch.distributed as processes
from jaxtyping import Int
from torch import Tensor

from scenekit.core.context import Share


class Rows(Protocol):
    """What is ours of all rows: everything, or some."""

    version: int  # another one whenever rows have become others

    def total(self, held: int) -> int:
        """How many there are in all, where we hold ``held``."""
        ...

    def whole(self, column: Tensor) -> Tensor:
        """A column of all rows from every process's own."""
        ...

    def own(self, column: Tensor) -> Tensor:
        """Our part of a column of all rows."""
        ...

    def mean(self, column: Tensor) -> Tensor:
        """Our part of the mean over all rows: the mean over the processes of these is that mean."""
        ...

    def follow(self, sources: Int[Tensor, " M"]) -> tuple[Any, Int[Tensor, " m"]]:
        """Let rows become others, each made of one that was: which of the new ones are ours, and which of our rows
        each is made of."""
        ...


class Undivided:
    """One process has all; see :class:`Rows`."""

    version = 0

    def total(self, held: int) -> int:
        """Those."""
        return held

    def whole(self, column: Tensor) -> Tensor:
        """The same."""
        return column

    def own(self, column: Tensor) -> Tensor:
        """The same."""
        return column

    def mean(self, column: Tensor) -> Tensor:
        """Over all that there are."""
        return column.mean()

    def follow(self, sources: Int[Tensor, " M"]) -> tuple[Any, Int[Tensor, " m"]]:
        """All, from the same."""
        return slice(None), sources


class Dealt:
    """See :class:`Rows`; its methods but ``own``, ``mean`` and ``total`` are called by all processes together.

    Attributes:
        share: whose rows are ours.
        owners: of every row, the rank that has it; the same in all processes.
        counts: rows of each process.
        version: of the owners.
    """

    version = 0

    def __init__(self, share: Share, count: int) -> None:
        self.share = share
        self.deal(count)

    def deal(self, count: int) -> None:
        """So many rows, one after the other to each process in turn."""
        self.set_owners(torch.arange(count, dtype=torch.int32) % self.share.of)

    def set_owners(self, owners: Int[Tensor, " N"]) -> None:
        """Who has which; what the rows hold is the caller's to move."""
        self.owners = owners
        self._held = (owners == self.share.rank).nonzero().squeeze(-1)
        self.counts: list[int] = torch.bincount(owners, minlength=self.share.of).tolist()  # pyright: ignore
        self._places: Tensor | None = None
        self.version += 1

    def places_on(self, device: torch.device) -> Int[Tensor, " N"]:
        """Of all rows in their order, where each is among those of one process after another."""
        if self._places is None or self._places.device != device:
            rows = self.owners.to(device).argsort(stable=True)
            self._places = torch.empty_like(rows)
            self._places[rows] = torch.arange(len(rows), device=device)
        return self._places

    def total(self, held: int) -> int:
        """Of all processes."""
        return len(self.owners)

    def own(self, column: Tensor) -> Tensor:
        """See :class:`Rows`."""
        return column[self._held.to(column.device)]

    def mean(self, column: Tensor) -> Tensor:
        """See :class:`Rows`."""
        return column.sum() * (self.share.of / max(1, len(self.owners) * column[:1].numel()))

    def whole(self, column: Tensor) -> Tensor:
        """See :class:`Rows`."""
        sent = self._padded(column)
        parts = [torch.empty_like(sent) for _ in self.counts]
        processes.all_gather(parts, sent)  # pyright: ignore[reportUnknownMemberType]
        return self._merged(parts)

    def gathered(self, column: Tensor) -> Tensor | None:
        """A column of all rows in the first process's main memory; None in the others."""
        sent = self._padded(column.detach())
        parts = [torch.empty_like(sent) for _ in self.counts] if self.share.rank == 0 else None
        processes.gather(sent, parts, dst=0)
        return None if parts is None else self._merged([part.cpu() for part in parts])

    def follow(self, sources: Int[Tensor, " M"]) -> tuple[Any, Int[Tensor, " m"]]:
        """See :class:`Rows`."""
        held = self._held.to(sources.device)
        self.set_owners(self.owners.to(sources.device)[sources])
        return self._held, torch.searchsorted(held, sources[self._held])

    def _padded(self, column: Tensor) -> Tensor:
        """As many rows as the process with the most has."""
        sent = column.new_zeros(max(self.counts), *column.shape[1:])
        sent[: len(column)] = column
        return sent

    def _merged(self, parts: list[Tensor]) -> Tensor:
        merged = parts[0].new_empty(len(self.owners), *parts[0].shape[1:])
        owners = self.owners.to(merged.device)
        for rank, (part, count) in enumerate(zip(parts, self.counts, strict=True)):
            merged[owners == rank] = part[:count]
        return merged
