"""Training as a generator of steps: progress bars, logs, checkpoints and live views are loops over it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from scenekit.core.checks import TrainingDiverged
from scenekit.core.protocols import Context, Controller, Rendering
from scenekit.training.averages import Averages
from scenekit.training.objective import Objective, psnr_of
from scenekit.training.optimizer import Optimizer

NOTHING = Rendering(torch.empty(0, 3), torch.empty(0))  # what controllers see where nothing is rendered


@dataclass(frozen=True)
class Budget:
    """When training ends, and what every schedule is a function of.

    Attributes:
        steps: how many at most; the only limit that resumes bit for bit.
        minutes: of training alone, from the first step.
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
    """Everything that training changes; its state resumes bit for bit on a CPU when ``steps`` limits it."""

    objective: Objective
    budget: Budget
    generator: torch.Generator
    controllers: Sequence[Controller] = ()
    averages: Averages | None = None
    index: int = 0
    seconds: float = 0.0
    optimizer: Optimizer = field(init=False)

    def __post_init__(self) -> None:
        self.optimizer = Optimizer(self.objective.parameter_groups())

    @property
    def progress(self) -> float:
        """How far training has come, in [0, 1]."""
        return self.budget.progress(self.index, self.seconds)

    def _parts(self) -> dict[str, Any]:
        parts: dict[str, Any] = {"objective": self.objective, "optimizer": self.optimizer}
        parts |= {f"controller{i}": part for i, part in enumerate(self.controllers)}
        return parts if self.averages is None else parts | {"averages": self.averages}

    def state_dict(self) -> dict[str, Any]:
        """Nested dictionaries of tensors and plain values."""
        state = {name: dict(part.state_dict()) for name, part in self._parts().items()}
        return state | {"index": self.index, "seconds": self.seconds, "generator": self.generator.get_state()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from :meth:`state_dict`; the recipe must be the same."""
        for name, part in self._parts().items():
            part.load_state_dict(state.get(name, {}))
        self.index = int(state["index"])
        self.seconds = float(state["seconds"])
        self.generator.set_state(state["generator"])


def steps(training: Training) -> Iterator[Step]:
    """Train until the budget is spent, yielding after every step; the averages are put in place at the end.

    Raises TrainingDiverged with the step and the term when a loss stops being finite; the parameters are then
    those of the last good step.
    """
    while training.progress < 1.0 and not _target_reached(training):
        started = time.perf_counter()
        step = _step(training)
        training.seconds += time.perf_counter() - started
        training.index += 1
        yield step
    if training.averages is not None:
        training.averages.finish()


def _step(training: Training) -> Step:
    context = Context(True, training.generator, training.progress)
    for controller in training.controllers:
        controller.before_render(context)
    outcome = training.objective.losses(context)
    loss = torch.stack(list(outcome.terms.values())).sum()
    _check_finite(training.index, loss, outcome.terms)
    loss.backward()
    for controller in training.controllers:
        change = controller.after_backward(outcome.rendering or NOTHING, context)
        if change is not None:
            training.optimizer.apply(change)
    training.optimizer.step(context.progress)
    for controller in (*training.controllers, *([training.averages] if training.averages else [])):
        controller.after_step(context)
    return Step(
        training.index,
        context.progress,
        training.seconds,
        float(loss.detach()),
        {name: float(term.detach()) for name, term in outcome.terms.items()},
        psnr_of(outcome.squared),
        outcome.work,
        outcome.unit,
    )


def _check_finite(index: int, loss: Tensor, terms: Mapping[str, Tensor]) -> None:
    if bool(loss.isfinite()):
        return
    name = next((name for name, term in terms.items() if not bool(term.isfinite().all())), "sum")
    raise TrainingDiverged(
        f"training: wanted a finite loss, found {float(terms.get(name, loss).detach())} in the term '{name}' at "
        f"step {index}; the last good checkpoint is kept, try a lower learning rate or check the images and poses"
    )


PROBE_EVERY = 200  # steps between two looks at the target PSNR


def _target_reached(training: Training) -> bool:
    target = training.budget.target_psnr
    if target is None or training.index == 0 or training.index % PROBE_EVERY:
        return False
    return psnr_of(training.objective.probe(Context(progress=training.progress))) >= target
