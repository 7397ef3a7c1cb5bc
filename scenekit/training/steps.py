"""Training as a generator of steps: progress bars, logs, checkpoints and live views are loops over it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from scenekit.core.context import WHOLE, Share
from scenekit.core.precision import quick_products
from scenekit.core.protocols import Context, Controller, Rendering
from scenekit.kernels.gpu.compile import waited
from scenekit.training.averages import Averages
from scenekit.training.divided import Division, Word
from scenekit.training.late import Late
from scenekit.training.objective import Objective, psnr_of
from scenekit.training.optimizer import Optimizer
from scenekit.training.passes import Passes, Watched, not_finite
from scenekit.training.ranks import decided
from scenekit.training.readings import Reading

OWNERS = "owners"  # in a process's own state: of all rows
NOTHING = Rendering(torch.empty(0, 3), torch.empty(0))  # what controllers see where nothing is rendered


@dataclass(frozen=True)
class Budget:
    """When training ends, and what every schedule is a function of.

    Attributes:
        steps: how many at most; the only limit that resumes bit for bit.
        minutes: of training alone, from the first step; waiting for kernels to be compiled does not count.
        target_psnr: ends early, judged on a fixed subset of the training views.
    """

    steps: int | None = None
    minutes: float | None = None
    target_psnr: float | None = None

    def progress(self, step: int, seconds: float) -> float:
        """In [0, 1]: the larger of the shares of steps and of time."""
        share = 0.0 if self.steps is None else step / max(1, self.steps)
        if self.minutes is not None:
            share = max(share, seconds / (60 * self.minutes))
        return min(1.0, share)


@dataclass(frozen=True)
class Step:
    """What one step did.

    Attributes:
        index: of the step, from 0.
        progress: before the step, in [0, 1].
        seconds: of training so far, without what consumers of the generator do.
        loss, terms: the sum and its weighted parts.
        psnr: of this batch, in dB.
        work, unit: how many ``samples`` or ``splats`` it handled.
    """

    index: int
    progress: float
    seconds: float
    loss: float
    terms: Mapping[str, float]
    psnr: float
    work: int
    unit: str


@dataclass
class Training:
    """Everything that training changes; its state resumes bit for bit on a CPU when ``steps`` limits it.

    ``share`` is this process's of every step's work, ``photographs`` are how many it sees a step where batches are
    whole ones. States are the same in all processes, but for the rows of a ``division``: of these each has its own,
    and the first process's :meth:`state_dict` is that of the whole.
    """

    objective: Objective
    budget: Budget
    generator: torch.Generator
    controllers: Sequence[Controller] = ()
    averages: Averages | None = None
    share: Share = WHOLE
    photographs: int = 1
    division: Division | None = None
    index: int = 0
    seconds: float = 0.0
    optimizer: Optimizer = field(init=False)
    passes: Passes = field(init=False)

    def __post_init__(self) -> None:
        groups = self.objective.parameter_groups()
        self.optimizer = Optimizer(groups, self.batches)
        if self.generator.device.type == "cpu":
            self.passes = Watched(self.objective, self.share, groups, self.division)
        else:
            state = (self._own_state, self._load_own)
            self.passes = Late(
                self.objective, self.share, groups, self.generator, self.optimizer.bad, state, self.division
            )

    @property
    def batches(self) -> int:
        """How many a step sees at once of those that learning rates are for."""
        return self.share.of * self.photographs

    @property
    def progress(self) -> float:
        """How far training has come, in [0, 1]."""
        return self.budget.progress(self.index, self.seconds)

    def not_finite(self) -> str | None:
        """The name of a parameter that holds NaN or infinity here, if any does."""
        return not_finite({name: p.data for g in self.optimizer.groups for name, p in g.parameters.items()})

    def not_finite_anywhere(self) -> str | None:
        """The same of all processes, which ask together."""
        found = self.not_finite()
        return found if self.division is None else self.division.anywhere(found)

    def _parts(self) -> dict[str, Any]:
        parts: dict[str, Any] = {"objective": self.objective, "optimizer": self.optimizer}
        parts |= {f"controller{i}": part for i, part in enumerate(self.controllers)}
        return parts if self.averages is None else parts | {"averages": self.averages}

    def state_dict(self) -> dict[str, Any]:
        """Nested dictionaries of tensors and plain values; of several processes, the first's is that of the whole."""
        state = self._own_state()
        if self.division is None or not self.division.first:
            return state
        del state[OWNERS]
        self._told(Word.MERGE)
        return self.division.merged(state)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from :meth:`state_dict`; the recipe must be the same."""
        self._load_own(state if self.division is None else self.division.dealt_out(state))

    def part(self) -> None:
        """End the training: the scene in the first process is the whole. All processes come here, each in its time."""
        self.agree(Word.PART)
        if self.division is not None:
            self.division.part()

    def agree(self, word: Word) -> None:
        """The first process says ``word`` and the time; before it does, the others show their part as it asks."""
        while self._told(word) == Word.MERGE:
            assert self.division is not None
            self.division.merged(self._own_state())

    def _told(self, word: Word) -> Word:
        said, self.seconds = decided(self.share, float(word), self.seconds)
        return Word(int(said))

    def _own_state(self) -> dict[str, Any]:
        state = {name: dict(part.state_dict()) for name, part in self._parts().items()}
        state |= {"index": self.index, "seconds": self.seconds, "generator": self.generator.get_state()}
        return state if self.division is None else state | {OWNERS: self.division.dealt.owners}

    def _load_own(self, state: Mapping[str, Any]) -> None:
        if self.division is not None and OWNERS in state:
            self.division.dealt.set_owners(state[OWNERS])
        for name, part in self._parts().items():
            part.load_state_dict(on_device(state.get(name, {}), self.generator.device))
        self.index = int(state["index"])
        self.seconds = float(state["seconds"])
        same_kind = len(state["generator"]) == len(self.generator.get_state())
        if same_kind:
            self.generator.set_state(state["generator"].cpu())
        else:  # begun on a CPU and continued on a GPU, or the other way round
            self.generator.manual_seed(self.generator.initial_seed() + self.index)


def on_device(state: Any, device: torch.device) -> Any:
    """Nested mappings and sequences, their tensors on ``device``."""
    if isinstance(state, Tensor):
        return state.to(device)
    if isinstance(state, Mapping):
        return {key: on_device(value, device) for key, value in state.items()}
    if isinstance(state, (list, tuple)):
        return type(state)(on_device(value, device) for value in state)
    return state


def steps(training: Training) -> Iterator[Step]:
    """Train until the budget is spent, yielding after every step; the averages are put in place at the end.

    Raises TrainingDiverged with the step and the term or parameter when a loss or a gradient stops being finite;
    the parameters are then those of the last good step.
    """
    while True:
        training.agree(Word.GO_ON)
        if training.progress >= 1.0 or _target_reached(training):
            break
        started = time.perf_counter() - waited()
        with quick_products(training.generator.device):
            _issue(training)
        reading = training.passes.due()
        training.seconds += time.perf_counter() - waited() - started
        training.index += 1
        if reading is not None:
            yield _step_of(training, reading)
    started = time.perf_counter()
    left = training.passes.rest()
    training.seconds += time.perf_counter() - started
    for reading in left:
        yield _step_of(training, reading)
    if training.averages is not None:
        training.averages.finish()


def _issue(training: Training) -> None:
    """Everything that one step does; on a GPU some of it is still to happen afterwards."""
    context = Context(True, training.generator, training.progress, training.share, training.batches)
    for controller in training.controllers:
        controller.before_render(context)
    look = training.objective.next(context)
    outcome = training.passes.run(look, context, training.index)
    training.objective.note(look, outcome)
    for controller in training.controllers:
        change = controller.after_backward(outcome.rendering or NOTHING, context)
        if change is not None:
            training.optimizer.apply(change)
    training.optimizer.step(context.progress, guarded=training.passes.late)
    for controller in (*training.controllers, *([training.averages] if training.averages else [])):
        controller.after_step(context)


def _step_of(training: Training, reading: Reading) -> Step:
    """What a step's numbers say; batches learn what it has cost."""
    training.objective.feedback(reading.work // training.share.of, reading.served)
    return Step(
        reading.index,
        reading.progress,
        training.seconds,
        reading.loss,
        reading.terms,
        psnr_of(reading.squared),
        reading.work,
        reading.unit,
    )


PROBE_EVERY = 200  # steps between two looks at the target PSNR


def _target_reached(training: Training) -> bool:
    target = training.budget.target_psnr
    if target is None or training.index == 0 or training.index % PROBE_EVERY:
        return False
    reached = psnr_of(training.objective.probe(Context(progress=training.progress, share=training.share))) >= target
    return bool(decided(training.share, float(reached))[0])
