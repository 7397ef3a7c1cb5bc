"""A conversion as an objective: one stage after another, chosen by progress, for the one trainer there is."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from scenekit.core.cameras import Cameras
from scenekit.core.protocols import Context, ParameterGroup, Recordable, Renderer
from scenekit.distill.active import PosePool
from scenekit.distill.plan import Stage
from scenekit.training.objective import Outcome


@runtime_checkable
class Looking(Protocol):
    """How a stage compares student and teacher; several stages may share one."""

    def next(self, stage: str, context: Context) -> Any:
        """What the next step of this stage looks at."""
        ...

    def losses(self, stage: str, look: Any, context: Context) -> Outcome:
        """What it minimises."""
        ...

    def note(self, stage: str, look: Any, outcome: Outcome) -> None:
        """Learn from what was found, without waiting for the device."""
        ...

    def stage(self, stage: str, look: Any, context: Context) -> Hashable:
        """Whatever in ``losses`` hangs on progress; None where a recording could not stand for it."""
        ...

    def feedback(self, work: int, served: float) -> None:
        """Learn from what a look has cost."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """Everything that resuming needs."""
        ...

    def load_state_dict(self, state_dict: Mapping[str, Any], /) -> object:
        """Take what :meth:`state_dict` gave."""
        ...


@dataclass(frozen=True)
class Staged:
    """A look of stage ``number``."""

    number: int
    look: Any


@dataclass
class Distillation:
    """See :class:`~scenekit.training.objective.Objective`.

    Attributes:
        student: what learns.
        stages: in order, each with how it looks.
        pool: the poses that all of them look from.
        watched: cameras and the teacher's colours from there, for a target PSNR.
        seconds: of each stage so far, by the wall clock.
        taken: steps of each stage so far, by its number.
    """

    student: Renderer
    stages: Sequence[tuple[Stage, Looking]]
    pool: PosePool
    watched: Sequence[tuple[Cameras, Tensor]] = ()
    seconds: dict[str, float] = field(default_factory=dict)
    taken: dict[int, int] = field(default_factory=dict)
    _last: tuple[str, float] | None = None
    _issued: deque[int] = field(default_factory=deque[int])

    def next(self, context: Context) -> Staged:
        """The current stage's next look."""
        number = next(i for i in range(len(self.stages)) if not self._over(i, context.progress))
        stage, looking = self.stages[number]
        self.taken[number] = self.taken.get(number, 0) + 1
        self._issued.append(number)
        self._clock(stage.name)
        return Staged(number, looking.next(stage.name, context))

    def _over(self, number: int, progress: float) -> bool:
        """Whether a stage has had its share or its steps; the last never is."""
        stage = self.stages[number][0]
        spent = stage.steps is not None and self.taken.get(number, 0) >= stage.steps
        return number < len(self.stages) - 1 and (spent or progress >= stage.until)

    def losses(self, look: Staged, context: Context) -> Outcome:
        """The stage's."""
        stage, looking = self.stages[look.number]
        return looking.losses(stage.name, look.look, context)

    def note(self, look: Staged, outcome: Outcome) -> None:
        """To the stage's, and to the student."""
        stage, looking = self.stages[look.number]
        looking.note(stage.name, look.look, outcome)
        if isinstance(self.student, Recordable) and outcome.rendering is not None:
            self.student.note(outcome.rendering)

    def feedback(self, work: int, served: float) -> None:
        """To the stage that looked: costs come in the order of looks, perhaps a step later."""
        self.stages[self._issued.popleft()][1].feedback(work, served)

    def stage(self, look: Staged, context: Context) -> Hashable:
        """What the stage says; which one it is stands in the look."""
        stage, looking = self.stages[look.number]
        return looking.stage(stage.name, look.look, context)

    @torch.no_grad()
    def probe(self, context: Context) -> float:
        """Against the teacher, over black."""
        errors = [self.student.render(camera).color - wanted for camera, wanted in self.watched]
        return sum(float(error.square().mean()) for error in errors) / max(1, len(errors))

    def parameter_groups(self) -> list[ParameterGroup]:
        """The student's; the background is the teacher's and stays."""
        return self.student.parameter_groups()

    def _clock(self, name: str) -> None:
        """Give the time since the last step to the stage that it was in."""
        now = time.perf_counter()
        if self._last is not None:
            before, since = self._last
            self.seconds[before] = self.seconds.get(before, 0.0) + now - since
        self._last = (name, now)

    def finish(self) -> None:
        """The last step ends now."""
        if self._last is not None:
            self._clock(self._last[0])
        self._last = None

    def _parts(self) -> dict[str, Any]:
        different = {id(looking): looking for _, looking in self.stages}
        parts = {"student": self.student, "pool": self.pool}
        return parts | {f"looking{i}": looking for i, looking in enumerate(different.values())}

    def state_dict(self) -> dict[str, Any]:
        """Of every part, by its name."""
        clocks = {"seconds": dict(self.seconds), "taken": {str(number): steps for number, steps in self.taken.items()}}
        return {name: dict(part.state_dict()) for name, part in self._parts().items()} | clocks

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue."""
        for name, part in self._parts().items():
            part.load_state_dict(state.get(name, {}))
        self.seconds = dict(state.get("seconds") or {})
        self.taken = {int(number): steps for number, steps in (state.get("taken") or {}).items()}
        self._issued.clear()
