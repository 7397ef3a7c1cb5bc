"""Room for the lists of tiles of the next frame, from what earlier ones needed: no frame waits for the GPU to count.

The first frame of each size is counted exactly. How much a later one needed is read when the copy to the host has
come through by itself, usually a step later. A frame that needed more than its room went without the farthest splats
of it; that is said on standard error, and the next has room enough.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

SPARE = 1.5  # times what was needed: what room is given
LEAST_SPARE = 1.1  # times what was needed: room that is less than that grows
Size = tuple[int, int]


@dataclass(frozen=True)
class Frame:
    """What the lists of a frame were.

    Attributes:
        size: of the picture.
        room: how many entries there were.
        needed: how many would have been needed.
    """

    size: Size
    room: int
    needed: Tensor | None


class TileRoom:
    """Owns the copies under way. ``of`` for a frame, ``note`` after it."""

    def __init__(self) -> None:
        self._rooms: dict[Size, int] = {}
        self._under_way: deque[tuple[Frame, Callable[[], int | None]]] = deque()

    def of(self, size: Size) -> int | None:
        """How many entries to give the lists of a frame; None where none of that size was seen."""
        return self._rooms.get(size)

    def stage(self) -> tuple[tuple[Size, int], ...]:
        """The rooms of all sizes: frames of a recording have those that it was made with."""
        return tuple(self._rooms.items())

    def note(self, frames: Iterable[Frame]) -> None:
        """What the lists of the frames of a step were."""
        while self._under_way and (needed := self._under_way[0][1]()) is not None:
            self._learn(self._under_way.popleft()[0], needed)
        for frame in frames:
            assert frame.needed is not None
            if frame.size in self._rooms:
                self._under_way.append((frame, _later(frame.needed)))
            else:
                self._learn(frame, frame.room)

    def _learn(self, frame: Frame, needed: int) -> None:
        if needed > frame.room:
            print(
                f"scenekit: the farthest {needed - frame.room} of {needed} (splat, tile) pairs had no room in a "
                "training frame; the next has more",
                file=sys.stderr,
            )
        if self._rooms.get(frame.size, 0) < LEAST_SPARE * needed + 1:
            self._rooms[frame.size] = int(SPARE * needed) + 1024


def _later(count: Tensor) -> Callable[[], int | None]:
    """What reads a number once it has come from the GPU, and gives None before."""
    if not count.is_cuda:
        return lambda: int(count)
    landed, arrived = torch.empty((), dtype=count.dtype, pin_memory=True), torch.cuda.Event()
    landed.copy_(count, non_blocking=True)
    arrived.record()
    return lambda: int(landed) if arrived.query() else None
