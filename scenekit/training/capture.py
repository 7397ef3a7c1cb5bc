"""Steps as CUDA graphs: recorded once for every program, replayed with the next look's numbers.

A recording holds forward and backward of one step. What differs from step to step reaches it through tensors: the look
is copied into the place of the recorded one, parameters and buffers stay where they are, random numbers come from
the training's generator. Everything that shapes or plain values decide makes another program, with a recording of its
own: made when it comes for the second time, for the first run compiles and loads its kernels.

Autograd adds a parameter's gradients up on the stream where it first did so, as long as anything remembers that. So
steps that are not replayed run on the stream on which others are recorded, and nobody keeps their results.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeGuard
from weakref import ReferenceType, ref

import torch
from torch import Tensor, nn

from scenekit.core.constants import constant
from scenekit.core.context import WHOLE, Share
from scenekit.core.protocols import Context
from scenekit.kernels.adapters import adapted
from scenekit.training.objective import Objective, Outcome
from scenekit.training.ranks import numbers_of_all
from scenekit.training.readings import numbers_of
from scenekit.training.replay import aside, recording

MOST_RECORDINGS = 24  # kept at once; the one that is longest out of use goes
LONG_OUT_OF_USE = 256  # steps after which a recording goes when another is made
GIVING_BACK = 0.01  # of the time, that giving memory back may take
LARGE = 2**20  # bytes of a gradient that recordings share


@dataclass(frozen=True)
class Inputs:
    """The tensors that a graph reads a look from.

    ``held`` are those whose values they hold, and at which version of theirs: cameras are mostly the same.
    """

    tensors: list[Tensor]
    held: dict[int, tuple[ReferenceType[Tensor], int]] = field(default_factory=dict)

    def take(self, look: list[Tensor]) -> None:
        """Copy the tensors of a look, but those that have not changed since."""
        moved = [i for i, tensor in enumerate(look) if not self._holds(i, tensor)]
        if not moved:
            return
        new = [look[i] for i in moved]
        torch._foreach_copy_([self.tensors[i] for i in moved], new, non_blocking=True)  # type: ignore[attr-defined]
        self.held.update((i, (ref(tensor), tensor._version)) for i, tensor in zip(moved, new, strict=True))

    def _holds(self, index: int, tensor: Tensor) -> bool:
        source, version = self.held.get(index, (None, 0))
        return source is not None and source() is tensor and version == tensor._version


@dataclass(frozen=True)
class Recording:
    """One program: its graph, the tensors it reads the look from, what it leaves until another is replayed."""

    graph: torch.cuda.CUDAGraph
    inputs: Inputs
    outcome: Outcome
    numbers: Tensor
    gradients: list[tuple[nn.Parameter, Tensor]]


class Recorder:
    """Forward and backward of an objective's steps; programs that come again are recorded and replayed.

    ``told`` makes of a step's numbers what is told of them, in the recording too: it is the same work in every step.
    ``share`` is of processes that talk to each other in these: NCCL wants what they say recorded in all or in none,
    so that a program of theirs is one of each. WHOLE where they do not.
    """

    def __init__(
        self,
        objective: Objective,
        generator: torch.Generator,
        told: Callable[[Tensor], Tensor],
        share: Share = WHOLE,
    ) -> None:
        self.objective = objective
        self.generator = generator
        self.told = told
        self.share = share
        self._programs: dict[Hashable, int] = {}  # of this process, numbered as they came
        self._stream = torch.cuda.Stream(generator.device)
        self._recordings: dict[tuple[Hashable, ...], Recording | None] = {}
        self._used: dict[tuple[Hashable, ...], int] = {}  # the last step that each was used in
        self._steps = 0
        self._give_again = 0.0  # when memory may be given back next
        self._pool: Any = None  # of the graphs' memory: they run one after another, and share it

    def step(self, look: Any, context: Context) -> tuple[Outcome, Tensor]:
        """What ``look`` showed and what is told of its numbers; gradients stand."""
        tensors: list[Tensor] = []
        key = self._key(self._program(look, tensors, context))
        if key is None:
            return self._run(look, context)
        self._steps += 1
        self._used[key] = self._steps
        if key not in self._recordings:
            self._make_room(key[-1])
            self._recordings[key] = None
            return self._run(look, context)
        recording = self._recordings[key]
        if recording is None:
            recording = self._recordings[key] = self._recorded(look, tensors, context)
        recording.inputs.take(tensors)
        recording.graph.replay()
        for parameter, gradient in recording.gradients:
            parameter.grad = gradient
        return recording.outcome, recording.numbers

    def _program(self, look: Any, tensors: list[Tensor], context: Context) -> tuple[Hashable, ...] | None:
        """What a step does but for the numbers in ``tensors``, which become those of the look, and to what lies where;
        None where it cannot be recorded."""
        stage = self.objective.stage(look, context)
        if stage is None or adapted():  # kernels of other libraries read numbers back
            return None
        places = tuple((tensor.data_ptr(), tensor.shape) for tensor in _lasting(self.objective))
        return stage, described(look, tensors), places

    def _key(self, program: tuple[Hashable, ...] | None) -> tuple[Hashable, ...] | None:
        """Of a recording: what all processes do, each of which asks in every step; None where one cannot record."""
        if self.share.of == 1:
            return program
        number = -1 if program is None else self._programs.setdefault(program, len(self._programs))
        numbers = numbers_of_all(self.share, number)
        return None if program is None or min(numbers) < 0 else (numbers, program[-1])

    def _run(self, look: Any, context: Context) -> tuple[Outcome, Tensor]:
        with aside(self._stream):
            outcome, numbers = run(self.objective, look, context)
            return outcome, self.told(numbers)

    def _recorded(self, look: Any, tensors: list[Tensor], context: Context) -> Recording:
        inputs = [torch.empty_like(tensor) for tensor in tensors]
        found = iter(inputs)
        graph = torch.cuda.CUDAGraph()
        graph.register_generator_state(self.generator)
        with aside(self._stream), recording(graph, self._pool):
            outcome, numbers = run(self.objective, rebuilt(look, lambda _: next(found)), context)
            numbers = self.told(numbers)
        self._pool = graph.pool()
        learning = [p for group in self.objective.parameter_groups() for p in group.parameters.values()]
        gradients = [(p, _lent(p.grad)) for p in learning if p.grad is not None]
        for parameter in learning:
            parameter.grad = None
        return Recording(graph, Inputs(inputs), outcome, numbers, gradients)

    def _make_room(self, places: Hashable) -> None:
        """Drop recordings of parameters that have moved, those long out of use, and of too many the first of them."""
        recent = self._steps - LONG_OUT_OF_USE
        kept = sorted((key for key in self._recordings if key[-1] == places), key=self._used.__getitem__)
        kept = [key for key in kept[-MOST_RECORDINGS + 1 :] if self._used[key] >= recent]
        self._recordings = {key: self._recordings[key] for key in kept}
        self._used = {key: step for key, step in self._used.items() if key in self._recordings or step == self._steps}
        if self._pool is not None and not any(self._recordings.values()):
            self._pool = None
            self._give_back()

    def _give_back(self) -> None:
        """Memory of graphs serves no others when the last of them is gone: to the driver with it, now and then."""
        began = time.perf_counter()
        if began >= self._give_again:
            torch.cuda.empty_cache()
            took = time.perf_counter() - began
            self._give_again = began + took / GIVING_BACK


@dataclass(frozen=True)
class _Place:
    """Memory of a graph, as ``torch.as_tensor`` reads it; whoever reads it does not own it."""

    __cuda_array_interface__: dict[str, Any]


def _lent(gradient: Tensor) -> Tensor:
    """A large gradient without a claim on its memory: the next program that is recorded puts its own there.

    A graph fills it again whenever it is replayed, and a step uses it up before another replays. The table of a hash
    grid has 50 MB, which every recording would keep otherwise.
    """
    if gradient.nbytes < LARGE or gradient.dtype != torch.float32 or not gradient.is_contiguous():
        return gradient
    place = {"data": (gradient.data_ptr(), False), "shape": tuple(gradient.shape), "typestr": "<f4", "version": 2}
    return torch.as_tensor(_Place(place), device=gradient.device)


def run(objective: Objective, look: Any, context: Context) -> tuple[Outcome, Tensor]:
    """Losses of ``look`` and their numbers; gradients of what learns stand."""
    outcome = objective.losses(look, context)
    loss = outcome.loss()
    numbers = numbers_of(outcome, loss)
    loss.backward(constant((1.0,), loss.device, loss.dtype).view(()))  # torch would make this 1 anew in every step
    return outcome, numbers


def described(value: Any, tensors: list[Tensor]) -> Hashable:
    """What a look is but for the numbers in its tensors, which are appended to ``tensors`` in order."""
    if isinstance(value, Tensor):
        tensors.append(value)
        return value.shape, value.dtype, value.device
    if _holds_tensors(value):
        return type(value), *(described(item, tensors) for item in value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return type(value), *(described(getattr(value, item.name), tensors) for item in dataclasses.fields(value))
    return value


def rebuilt(value: Any, tensor_for: Callable[[Tensor], Tensor]) -> Any:
    """The same look with other tensors, asked for in the order of :func:`described`."""
    if isinstance(value, Tensor):
        return tensor_for(value)
    if _holds_tensors(value):
        items = [rebuilt(item, tensor_for) for item in value]
        return type(value)(*items) if hasattr(value, "_fields") else tuple(items)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        changed = {item.name: rebuilt(getattr(value, item.name), tensor_for) for item in dataclasses.fields(value)}
        return dataclasses.replace(value, **changed)
    return value


def _holds_tensors(value: Any) -> TypeGuard[tuple[Tensor, ...]]:
    """Tuples of tensors, told by their first; those of plain values are long, and compared as they are."""
    return isinstance(value, tuple) and bool(value) and isinstance(value[0], Tensor)


def _lasting(objective: Objective) -> Iterator[Tensor]:
    """Parameters and buffers, which recordings read where they are."""
    for part in vars(objective).values():
        for module in part if isinstance(part, (list, tuple)) else (part,):
            if isinstance(module, nn.Module):
                yield from module.parameters()
                yield from module.buffers()
