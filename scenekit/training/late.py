"""Steps on a GPU: issued without waiting, their numbers read one step late.

Numbers are copied to pinned memory behind the step's own work, and read when the next step has been issued. So a loss
that is no number is met when the optimizer has moved already: training then goes back to a copy of the whole state,
of which one is taken every so often.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NoReturn

import torch
from torch import Tensor

from scenekit.core.context import WHOLE, Share
from scenekit.core.protocols import Context, ParameterGroup
from scenekit.kernels.doubles import doubles
from scenekit.training.capture import Recorder
from scenekit.training.divided import Division
from scenekit.training.objective import Objective, Outcome
from scenekit.training.ranks import average_gradients
from scenekit.training.readings import Asked, Reading, summed

LATE = 1  # steps that are issued before the numbers of one are read
KEPT_EVERY = 64  # steps between two copies of the state
KEPT = 2  # copies: while the newest may be of a step that went wrong already, the one before it is not


@dataclass(frozen=True)
class _Sent:
    """Numbers under way."""

    numbers: Tensor
    asked: Asked
    landed: torch.cuda.Event


class Late:
    """See :class:`~scenekit.training.passes.Passes`; ``due`` raises TrainingDiverged, the state put back.

    Args:
        objective: what is minimised.
        share: of the work of a step.
        groups: what learns.
        generator: of the training, on the GPU.
        bad: of every parameter, whether the optimizer has met a gradient that is no number.
        state: of the training, and how it is put back; where it is divided, this process's.
        division: of what several processes do not each hold.
    """

    late: ClassVar[bool] = True

    def __init__(
        self,
        objective: Objective,
        share: Share,
        groups: list[ParameterGroup],
        generator: torch.Generator,
        bad: Tensor,
        state: tuple[Callable[[], Mapping[str, Any]], Callable[[Mapping[str, Any]], None]],
        division: Division | None = None,
    ) -> None:
        self.share = share
        self.groups = groups
        self.bad = bad
        self.division = division
        # Where rows are divided, passes talk: all processes record a step and replay it together, or none does.
        self._recorder = Recorder(objective, generator, self._told, WHOLE if division is None else share)
        self._state, self._put_back = state
        self._sent: deque[_Sent] = deque()
        self._copies: deque[tuple[int, Mapping[str, Any]]] = deque()

    def run(self, look: Any, context: Context, index: int) -> Outcome:
        """See :class:`~scenekit.training.passes.Passes`."""
        if index % KEPT_EVERY == 0 or not self._copies:
            if len(self._copies) == KEPT:
                self._copies.popleft()  # before the next is made: they are large
            self._copies.append((index, copied(self._state())))
        outcome, numbers = self._recorder.step(look, context)
        average_gradients(self.share, self.groups, () if self.division is None else self.division.parameters)
        if self.division is None:
            numbers = summed(numbers, self.share)
        pinned = torch.empty(numbers.shape, dtype=numbers.dtype, pin_memory=True).copy_(numbers, non_blocking=True)
        landed = torch.cuda.Event()
        landed.record()
        asked = Asked(index, context.progress, outcome.unit, tuple(outcome.terms))
        self._sent.append(_Sent(pinned, asked, landed))
        return outcome

    def _told(self, numbers: Tensor) -> Tensor:
        """With what the optimizer has met so far; summed over the processes where they talk in a step anyway."""
        numbers = doubles([numbers, self.bad])
        return numbers if self.division is None else summed(numbers, self.share)

    def due(self) -> Reading | None:
        """See :class:`~scenekit.training.passes.Passes`."""
        return self._read() if len(self._sent) > LATE else None

    def rest(self) -> list[Reading]:
        """See :class:`~scenekit.training.passes.Passes`."""
        return [self._read() for _ in range(len(self._sent))]

    def _read(self) -> Reading:
        sent = self._sent.popleft()
        sent.landed.synchronize()
        numbers, bad = sent.numbers.split([len(sent.numbers) - len(self.bad), len(self.bad)])
        reading = sent.asked.reading(numbers, self.share, spoilt=bool(bad.any()))
        if not reading.finite:
            self._back(reading)
        return reading

    def _back(self, reading: Reading) -> NoReturn:
        """To the newest copy from before the step that went wrong."""
        self._sent.clear()
        index, state = next(copy for copy in reversed(self._copies) if copy[0] <= reading.index)
        self._put_back(copied(state))
        self.bad.zero_()
        raise reading.trouble(f"the state of step {index} is kept")


def copied(state: Any) -> Any:
    """Nested mappings and sequences with tensors of their own."""
    if isinstance(state, Tensor):
        return state.detach().clone()
    if isinstance(state, Mapping):
        return {key: copied(value) for key, value in state.items()}
    if isinstance(state, (list, tuple)):
        return type(state)(copied(value) for value in state)
    return state
