"""How many rays a step looks at, so that their samples are what a step shall have (instant-ngp)."""

from __future__ import annotations

import math
from collections import deque

MOST_RAYS = 4  # for each sample of the budget: of a panorama around one object a hundredth sees anything
SPARE = 1.1  # of the rays that fill a step's room, drawn so that it is filled


class RayBudget:
    """Batches whose number of rays follows what they cost.

    Costs are told in the order of the batches, on a GPU when the next batch has been drawn already: each is set against
    the rays of its own. With ``by_sizes`` numbers of rays are few (:func:`size_above`).
    """

    def __init__(self, samples: int, *, by_sizes: bool) -> None:
        self.samples = samples
        self.by_sizes = by_sizes
        self.rays = max(256, samples // 64)
        self._asked: deque[int] = deque()

    def counted(self) -> int:
        """Rays of the next batch, whose cost will be told."""
        self._asked.append(self.rays)
        return self.rays

    def feedback(self, work: int, served: float = 1.0) -> None:
        """Aim the next batch at the budget of samples."""
        asked = self._asked.popleft() if self._asked else self.rays
        if self.by_sizes:
            self.rays = aimed(self.rays, asked, self.samples, work, served)
        else:
            self.rays = steered(asked, self.samples, work)

    def begin(self, rays: int) -> None:
        """With so many rays; costs of what came before are not told any more."""
        self.rays = rays
        self._asked.clear()


def steered(rays: int, samples: int, measured: int) -> int:
    """How many rays the next batch shall have to meet a budget of samples; changes by at most a factor of 2."""
    wanted = rays * min(2.0, max(0.5, samples / max(1, measured)))
    return min(max(256, round(wanted / 256) * 256), MOST_RAYS * samples)


def aimed(now: int, asked: int, samples: int, measured: int, served: float) -> int:
    """As many rays as have room and some to spare, in sizes, so that steps seldom change their shape.

    ``served`` of the ``asked`` rays had room for the ``measured`` samples. The rays that there are ``now`` become fewer
    only where three fifths of them would do, fewer than a size that has just become larger is left with.
    """
    needed = SPARE * asked * served * samples / max(1, measured)
    wanted = size_above(min(max(256.0, needed), float(MOST_RAYS * samples)))
    return wanted if wanted > now or needed < 0.6 * now else now


def size_above(needed: float) -> int:
    """The least of 3 and 4 times any power of two that is not below: two sizes for every doubling."""
    unit = 2 ** (math.ceil(math.log2(needed)) - 2)
    return math.ceil(needed / unit) * unit
