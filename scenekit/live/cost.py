"""How long a picture will take, learned from the last few."""

from __future__ import annotations

UNKNOWN_PIXELS = 4096  # tried first, while nothing is known
FORGET = 0.8  # what one more picture leaves of the weight of those before it


class CostModel:
    """Seconds as a fixed part plus a part per pixel: the weighted least-squares line through recent pictures.

    The fixed part matters: were all of a small picture's time charged to its pixels, small pictures would
    make pixels look dear, and the next picture would be smaller still.
    """

    def __init__(self) -> None:
        self._weight = self._p = self._t = self._pp = self._pt = 0.0

    def learn(self, pixels: int, seconds: float) -> None:
        """Take in that ``pixels`` took ``seconds``."""
        terms = (1.0, float(pixels), seconds, float(pixels) ** 2, pixels * seconds)
        sums = (self._weight, self._p, self._t, self._pp, self._pt)
        self._weight, self._p, self._t, self._pp, self._pt = (
            FORGET * old + new for old, new in zip(sums, terms, strict=True)
        )

    def pixels_within(self, seconds: float) -> int:
        """How many pixels fit into ``seconds``; at least one."""
        if self._weight == 0:
            return UNKNOWN_PIXELS
        fixed, each = self._line()
        return max(1, int((seconds - fixed) / each))

    def _line(self) -> tuple[float, float]:
        mean = max(self._t / max(self._p, 1.0), 1e-12)  # seconds per pixel, all charged to the pixels
        spread = self._weight * self._pp - self._p**2
        if spread <= 1e-3 * self._weight * self._pp:  # all of nearly one size: no line to be had
            return 0.0, mean
        slope = (self._weight * self._pt - self._p * self._t) / spread
        each = min(max(slope, 0.1 * mean), mean)
        return max(0.0, (self._t - each * self._p) / self._weight), each
