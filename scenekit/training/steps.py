"""Training as a generator of steps: progress bars, logs, checkpoints and live views are loops over it."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor

from scenekit.core.checks import TrainingDiverged
from scenekit.core.context import WHOLE, Share
from scenekit.core.protocols import Context, Controller, Rendering
from scenekit.training.averages import Averages
from scenekit.training.objective import Objective, Outcome, psnr_of
from scenekit.training.optimizer import Optimizer
from scenekit.training.ranks import average_gradients, decided, total

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
    """Everything that training changes; its state resumes bit for bit on a CPU when ``steps`` limits it.

    ``share`` is this process's of every step's work; states are the same in all processes.
    """

    objective: Objective
    budget: Budget
    generator: torch.Generator
    controllers: Sequence[Controller] = ()
    averages: Averages | None = None
    share: Share = WHOLE
    index: int = 0
    seconds: float = 0.0
    optimizer: Optimizer = field(init=False)

    def __post_init__(self) -> None:
        self.optimizer = Optimizer(self.objective.parameter_groups())

    @property
    def progress(self) -> float:
        """How far training has come, in [0, 1]."""
        return self.budget.progress(self.index, self.seconds)

    def not_finite(self) -> str | None:
        """The name of a parameter that holds NaN or infinity, if any does."""
        return _not_finite({name: p.data for g in self.optimizer.groups for name, p in g.parameters.items()})

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

    Raises TrainingDiverged with the step and the term or parameter when a loss or a gradient stops being finite;
    the parameters are then those of the last good step.
    """
    while training.progress < 1.0 and not _target_reached(training):
        started = time.perf_counter()
        step = _step(training)
        training.seconds = decided(training.share, training.seconds + time.perf_counter() - started)
        training.index += 1
        yield step
    if training.averages is not None:
        training.averages.finish()


def _step(training: Training) -> Step:
    context = Context(True, training.generator, training.progress, training.share)
    for controller in training.controllers:
        controller.before_render(context)
    outcome = training.objective.losses(context)
    loss = torch.stack(list(outcome.terms.values())).sum()
    found = _mean(training.share, loss.detach(), outcome)
    _check_finite(training.index, found)
    loss.backward()
    average_gradients(training.share, training.optimizer.groups)
    _check_gradients(training)
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
        found.loss,
        found.terms,
        psnr_of(found.squared),
        outcome.work,
        outcome.unit,
    )


class _Found(NamedTuple):
    """What a step found, the mean over the processes."""

    loss: float
    squared: float
    terms: dict[str, float]


def _mean(share: Share, loss: Tensor, outcome: Outcome) -> _Found:
    squared = torch.tensor(outcome.squared, dtype=torch.float64)
    values = [loss.double(), squared, *(term.detach().double() for term in outcome.terms.values())]
    together = torch.stack([value.cpu() for value in values])
    total(share, together)
    mean, error, *terms = (together / share.of).tolist()
    return _Found(mean, error, dict(zip(outcome.terms, terms, strict=True)))


def _check_finite(index: int, found: _Found) -> None:
    if math.isfinite(found.loss):
        return
    name = next((name for name, term in found.terms.items() if not math.isfinite(term)), "sum")
    raise TrainingDiverged(
        f"training: wanted a finite loss, found {found.terms.get(name, found.loss)} in the term '{name}' at "
        f"step {index}; the last good state is kept, try a lower learning rate or check the images and poses"
    )


def _check_gradients(training: Training) -> None:
    parameters = {name: p for group in training.optimizer.groups for name, p in group.parameters.items()}
    name = _not_finite({name: p.grad for name, p in parameters.items() if p.grad is not None})
    if name is None:
        return
    for parameter in parameters.values():
        parameter.grad = None
    raise TrainingDiverged(
        f"training: wanted finite gradients, found NaN or infinity in that of '{name}' at step {training.index}; "
        "the last good state is kept, try a lower learning rate or check the images and poses"
    )


def _not_finite(tensors: Mapping[str, Tensor]) -> str | None:
    """A sum is NaN or infinite where any of its terms is, and takes no memory; only a sum may overflow by itself."""
    for name, tensor in tensors.items():
        if not math.isfinite(float(tensor.sum())) and not bool(tensor.isfinite().all()):
            return name
    return None


PROBE_EVERY = 200  # steps between two looks at the target PSNR


def _target_reached(training: Training) -> bool:
    target = training.budget.target_psnr
    if target is None or training.index == 0 or training.index % PROBE_EVERY:
        return False
    reached = psnr_of(training.objective.probe(Context(progress=training.progress))) >= target
    return bool(decided(training.share, reached))
