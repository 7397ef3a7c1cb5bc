"""Training as a generator of steps: progress bars, logs, checkpoints and live views are loops over it."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from scenekit.core.checks import TrainingDiverged
from scenekit.core.protocols import (
    Background,
    Context,
    Controller,
    Correction,
    Renderer,
    Rendering,
    over_background,
)
from scenekit.training.averages import Averages
from scenekit.training.batches import Batch, Batches
from scenekit.training.losses import Loss
from scenekit.training.optimizer import Optimizer


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

    renderer: Renderer
    background: Background
    batches: Batches
    loss: Loss
    budget: Budget
    generator: torch.Generator
    controllers: Sequence[Controller] = ()
    corrections: Sequence[Correction] = ()
    averages: Averages | None = None
    probe: Sequence[Batch] = ()
    index: int = 0
    seconds: float = 0.0
    optimizer: Optimizer = field(init=False)

    def __post_init__(self) -> None:
        groups = self.renderer.parameter_groups() + self.background.parameter_groups()
        for correction in self.corrections:
            groups += correction.parameter_groups()
        self.optimizer = Optimizer(groups)

    @property
    def progress(self) -> float:
        """How far training has come, in [0, 1]."""
        return self.budget.progress(self.index, self.seconds)

    def _parts(self) -> dict[str, Any]:
        parts: dict[str, Any] = {
            "renderer": self.renderer,
            "background": self.background,
            "batches": self.batches,
            "optimizer": self.optimizer,
        }
        parts |= {f"controller{i}": part for i, part in enumerate(self.controllers)}
        parts |= {f"correction{i}": part for i, part in enumerate(self.corrections)}
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
    batch = training.batches.next(context)
    rendering, squared, terms = _losses(training, batch, context)
    loss = torch.stack(list(terms.values())).sum()
    _check_finite(training.index, loss, terms)
    loss.backward()
    for controller in training.controllers:
        change = controller.after_backward(rendering, context)
        if change is not None:
            training.optimizer.apply(change)
    training.optimizer.step(context.progress)
    for controller in (*training.controllers, *([training.averages] if training.averages else [])):
        controller.after_step(context)
    training.batches.feedback(rendering)
    unit = "samples" if "samples" in rendering.trace else "splats"
    return Step(
        training.index,
        context.progress,
        training.seconds,
        float(loss.detach()),
        {name: float(term.detach()) for name, term in terms.items()},
        psnr_of(squared),
        int(rendering.trace[unit]),
        unit,
    )


def _losses(training: Training, batch: Batch, context: Context) -> tuple[Rendering, float, dict[str, Tensor]]:
    cameras = batch.cameras
    for correction in training.corrections:
        cameras = correction.cameras(cameras)
    rendering = training.renderer.render(cameras, batch.pixels, context=context)
    behind = training.background.colors(cameras, batch.pixels, context)
    target = over(batch.target, behind.detach())
    seen = over_background(rendering, behind)
    for correction in training.corrections:
        seen = correction.rendering(seen, cameras)
    terms = dict(training.loss(seen.color, target)) | dict(rendering.terms)
    for correction in training.corrections:
        terms |= correction.loss(seen, target)
    squared = float((seen.color.detach() - target).square().mean())
    return rendering, squared, terms


def over(target: Tensor, behind: Tensor) -> Tensor:
    """Photographed colours [.. 3] over ``behind``; colours with alpha [.. 4] are blended, others kept."""
    if target.shape[-1] == 3:
        return target
    alpha = target[..., 3:]
    return target[..., :3] * alpha + (1 - alpha) * behind


def psnr_of(squared_error: float) -> float:
    """``-10 log10(mean squared error)`` for colours in [0, 1]; capped at 100 dB."""
    return 100.0 if squared_error <= 1e-10 else -10 * math.log10(squared_error)


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
    return probe_psnr(training) >= target


@torch.no_grad()
def probe_psnr(training: Training) -> float:
    """PSNR over the fixed subset of the training views."""
    squared = []
    for batch in training.probe:
        context = Context(progress=training.progress)
        rendering = training.renderer.render(batch.cameras, batch.pixels, context=context)
        behind = training.background.colors(batch.cameras, batch.pixels, context)
        error = over_background(rendering, behind).color - over(batch.target, behind)
        squared.append(float(error.square().mean()))
    return psnr_of(sum(squared) / max(1, len(squared)))
