"""Under which circumstances something is rendered, and which part of a step's work is this process's."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from scenekit.core.cameras import Cameras


@dataclass(frozen=True)
class Share:
    """Part ``rank`` of ``of`` equal parts of every step's work; raises ValueError where there is no such part."""

    rank: int = 0
    of: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.rank < self.of:
            raise ValueError(f"share: wanted a rank in [0, {self.of}), found {self.rank}")

    def rows(self, count: int) -> slice:
        """This process's of ``count`` rows; the few that do not divide are nobody's."""
        each = count // self.of
        return slice(self.rank * each, (self.rank + 1) * each)


WHOLE = Share()


@dataclass(frozen=True)
class Context:
    """Under which circumstances something is rendered.

    Attributes:
        training: whether gradients and training-time randomness (jitter) are wanted.
        generator: source of all randomness; None outside training.
        progress: how far training has come, in [0, 1]; every schedule is a function of it.
        share: of the work of a step. The generators of all processes stay in one state: whatever is drawn has the
            same size in each.
        batches: how many a step sees at once, in all processes, of those that learning rates and rhythms are for:
            photographs, or batches of pixels.
        depth: whether a rendering's depth is wanted; where not, a renderer need not find it.
        around: the cameras that the processes look through, as many of each, by rank; None where all look through the
            same.
        crop: [3 4], takes positions in scene to a box of sides [-1, 1]; nothing outside of it is seen.
    """

    training: bool = False
    generator: torch.Generator | None = None
    progress: float = 1.0
    share: Share = WHOLE
    batches: int = 1
    depth: bool = True
    around: Cameras | None = None
    crop: Float[Tensor, "3 4"] | None = None

    def uniform(self, shape: tuple[int, ...], device: torch.device) -> Tensor:
        """Numbers in [0, 1) for this process's rows of a step.

        They are drawn for the rows of all processes, so that what several see together is what one would that did
        the work of all.
        """
        rows, *rest = shape
        where = device if self.generator is None else self.generator.device
        drawn = torch.rand((rows * self.share.of, *rest), generator=self.generator, device=where)
        return drawn[self.share.rows(len(drawn))].to(device)

    def shuffled(self, count: int) -> list[int]:
        """The numbers below ``count`` in a random order."""
        where = None if self.generator is None else self.generator.device
        order: list[int] = torch.randperm(count, generator=self.generator, device=where).tolist()  # pyright: ignore
        return order

    def keeps(self, positions: Float[Tensor, "N 3"]) -> Bool[Tensor, " N"]:
        """Which positions in ``scene`` the crop leaves; all of them where there is none."""
        if self.crop is None:
            return torch.ones(len(positions), dtype=torch.bool, device=positions.device)
        crop = self.crop.to(positions)
        return (positions @ crop[:, :3].T + crop[:, 3]).abs().amax(-1) <= 1


EVAL = Context()
