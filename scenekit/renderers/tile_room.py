"""Room for the lists of tiles of the next frame, from what earlier ones needed: no frame waits for the GPU to count.

The first frame of each size is counted exactly. How much a later one needed is read when the copy to the host has
come through by itself, usually a step later. A frame that needed more than its room went without the farthest splats
of it; that is said on standard error, and the next has room enough.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable

import torch
from torch import Tensor

from scenekit.kernels.intersect import Tiles

SPARE = 1.5  # times what was needed
Size = tuple[int, int]


class TileRoom:
    """Owns the copies under way. ``of`` before a frame, ``note`` after it."""

    def __init__(self) -> None:
        self._rooms: dict[Size, int] = {}
        self._under_way: deque[tuple[Size, int | None, Callable[[], int | None]]] = deque()

    def of(self, size: Size) -> int | None:
        """How many entries to give the lists of a frame; None where none of that size was seen."""
        while self._under_way and (needed := self._under_way[0][2]()) is not None:
            noted, room, _ = self._under_way.popleft()
            self._learn(noted, room, needed)
        return self._rooms.get(size)

    def note(self, size: Size, room: int | None, tiles: Tiles) -> None:
        """What the lists of a frame with this room were."""
        assert tiles.needed is not None
        if room is None:
            self._learn(size, None, len(tiles.gaussians))
        elif not (tiles.needed.is_cuda and torch.cuda.is_current_stream_capturing()):
            self._under_way.append((size, room, _later(tiles.needed)))

    def _learn(self, size: Size, room: int | None, needed: int) -> None:
        if room is not None and needed > room:
            print(
                f"scenekit: the farthest {needed - room} of {needed} (splat, tile) pairs had no room in a training "
                "frame; the next has more",
                file=sys.stderr,
            )
        self._rooms[size] = max(self._rooms.get(size, 0), int(SPARE * needed) + 1024)


def _later(count: Tensor) -> Callable[[], int | None]:
    """What reads a number once it has come from the GPU, and gives None before."""
    if not count.is_cuda:
        return lambda: int(count)
    landed, arrived = torch.empty((), dtype=count.dtype, pin_memory=True), torch.cuda.Event()
    landed.copy_(count, non_blocking=True)
    arrived.record()
    return lambda: int(landed) if arrived.query() else None
