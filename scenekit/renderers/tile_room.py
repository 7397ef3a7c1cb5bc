"""Room for the lists of tiles of the next frame, from what earlier ones needed: no frame waits for the GPU to count.

The first frame of each size is counted exactly. How much a later one needed is read when the copy to the host has
come through by itself, usually a step later. A frame that needed more than its room went without the farthest splats
of it; that is said on standard error, and the next has room enough. A graph keeps the room that it was captured with.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

SPARE = 1.5  # times what was needed
Size = tuple[int, int]


@dataclass(frozen=True)
class Frame:
    """What the lists of a frame were.

    Attributes:
        size: of the picture.
        room: how many entries there were.
        needed: how many would have been needed; in a graph, by the last replay.
    """

    size: Size
    room: int
    needed: Tensor | None


class TileRoom:
    """Owns the copies under way. ``of`` before a frame, ``note`` after it."""

    def __init__(self) -> None:
        self._rooms: dict[Size, int] = {}
        self._short: set[Size] = set()
        self._under_way: deque[tuple[Frame, Callable[[], int | None]]] = deque()

    def of(self, size: Size) -> int | None:
        """How many entries to give the lists of a frame; None where none of that size was seen."""
        if not _capturing():
            self._learn_what_has_come()
        self._short.discard(size)
        return self._rooms.get(size)

    def note(self, frame: Frame) -> None:
        """What the lists of a frame were; of one that is being captured, see :meth:`replayed`."""
        assert frame.needed is not None
        if frame.size not in self._rooms:
            self._learn(frame, frame.room)
        elif not _capturing():
            self._under_way.append((frame, _later(frame.needed)))

    def replayed(self, frames: Iterable[Frame]) -> bool:
        """Note what the frames of a graph were in its last replay; whether one of them was found short of room."""
        frames = tuple(frames)
        for frame in frames:
            self.note(frame)
        self._learn_what_has_come()
        return any(frame.size in self._short for frame in frames)

    def _learn_what_has_come(self) -> None:
        while self._under_way and (needed := self._under_way[0][1]()) is not None:
            self._learn(self._under_way.popleft()[0], needed)

    def _learn(self, frame: Frame, needed: int) -> None:
        if needed > frame.room:
            self._short.add(frame.size)
            print(
                f"scenekit: the farthest {needed - frame.room} of {needed} (splat, tile) pairs had no room in a "
                "training frame; the next has more",
                file=sys.stderr,
            )
        self._rooms[frame.size] = max(self._rooms.get(frame.size, 0), int(SPARE * needed) + 1024)


def _capturing() -> bool:
    """Whether a graph is being captured: then nothing may ask the GPU how far it is."""
    return torch.cuda.is_available() and torch.cuda.is_current_stream_capturing()


def _later(count: Tensor) -> Callable[[], int | None]:
    """What reads a number once it has come from the GPU, and gives None before."""
    if not count.is_cuda:
        return lambda: int(count)
    landed, arrived = torch.empty((), dtype=count.dtype, pin_memory=True), torch.cuda.Event()
    landed.copy_(count, non_blocking=True)
    arrived.record()
    return lambda: int(landed) if arrived.query() else None
