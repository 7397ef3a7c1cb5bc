"""When densification acts, and how many Gaussians it may leave."""

from __future__ import annotations

from dataclasses import dataclass

from scenekit.core.protocols import Context


@dataclass(frozen=True)
class Growth:
    """The schedule of densification: its span in progress, its rhythm in photographs.

    Spans are in progress so that a run over minutes has them too; the rhythm is in photographs, of which a step may
    see several, because what is gathered between two acts is gathered from one after another. (Rarer acts where steps
    see several, by the root of their number as rates grow, cost 0.3 dB of lego with four photographs a step.)

    Attributes:
        max_count: Gaussians at most, ever.
        start, stop: progress between which the count may change.
        every: photographs from one act to the next.
    """

    max_count: int
    start: float = 1 / 60
    stop: float = 0.5
    every: int = 100

    def due(self, seen: int, context: Context) -> bool:
        """Whether densification acts after ``seen`` photographs, those of this step among them."""
        return completed(self.every, seen, context) and self.start <= context.progress < self.stop

    def allowed(self, initial: int, progress: float) -> int:
        """Gaussians allowed now: from ``initial`` to ``max_count`` along a parabola that is steep at first.

        Growing early gives the new ones time to learn; growing all at once would spend the budget on what the
        first, coarse gradients say (Taming 3DGS). The whole budget is open after four fifths of the span.
        """
        begin = min(initial, self.max_count)
        passed = (progress - self.start) / max(1e-9, 0.8 * (self.stop - self.start))
        left = 1 - min(1.0, max(0.0, passed))
        return self.max_count - int((self.max_count - begin) * left**2)


def completed(every: int, seen: int, context: Context) -> bool:
    """Whether this step's photographs, the last of ``seen``, brought another ``every`` of them to an end."""
    return seen // every > (seen - context.batches) // every
