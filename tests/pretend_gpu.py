"""A GPU that is pretended: tensors in main memory, some of which are said to be on ``cuda:1``.

Which ones is written on their storages, so that views, parameters and gradients agree by themselves. Everything is
computed, by whatever serves on a CPU; what mixes devices, draws with another device's generator or hands a GPU's memory
to numpy raises, as torch would. Within :func:`recording` so does what waits for a GPU or copies to it.

Training runs as it does on a GPU, but for two things: a step that would be replayed is done within ``recording``, and
its numbers are read at once.
"""

from __future__ import annotations

import importlib
import pkgutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from scenekit import cli
from scenekit.core.context import Context, Share
from scenekit.recipes import device
from scenekit.renderers import tile_room
from scenekit.training import muon, steps
from scenekit.training.capture import described, run
from scenekit.training.objective import Objective, Outcome
from scenekit.training.readings import Asked, Reading

DEVICE, CPU = torch.device("cuda", 1), torch.device("cpu")
FREE, HELD = 80 * 2**30, 2**20  # bytes
aten = torch.ops.aten
READING = (Tensor.item, Tensor.tolist, Tensor.__bool__, Tensor.__float__, Tensor.__int__, Tensor.__index__)
MOVING = (Tensor.to, Tensor.cpu, Tensor.cuda)
# What waits for the GPU to know how many numbers there are, or what a number is.
COUNTED = (aten.nonzero.default, aten.masked_select.default, aten.repeat_interleave.Tensor, aten._unique2.default,
           aten.unique_dim.default, aten.bincount.default, aten.equal.default, aten._local_scalar_dense.default,
           aten.is_nonzero.default)  # fmt: skip
INDEXED = (aten.index.Tensor, aten.index_put.default, aten.index_put_.default, aten._index_put_impl_.default)


class MixedDevicesError(RuntimeError):
    """Tensors of both memories met."""


class WaitedError(RuntimeError):
    """What a recorded step must not do."""


class Generator(torch.Generator):
    """A CPU's, said to be of any device."""

    said = CPU

    def __new__(cls, device: Any = "cpu") -> Generator:
        """As torch's."""
        made = super().__new__(cls)
        made.said = DEVICE if torch.device(device).type == "cuda" else CPU
        return made

    @property
    def device(self) -> torch.device:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Where it is said to draw."""
        return self.said


class Stream:
    """Whose work is always done."""

    def synchronize(self) -> None:
        """Nothing."""


@contextmanager
def pretended(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """While this lasts there is a GPU."""
    monkeypatch.setattr(torch, "Generator", Generator)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device=None: (FREE, FREE))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device=None: HELD)
    monkeypatch.setattr(torch.cuda, "max_memory_reserved", lambda device=None: HELD)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device=None: None)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device=None: Stream())
    monkeypatch.setattr(tile_room, "_later", lambda count: lambda: int(count))
    monkeypatch.setattr(steps, "Late", Recorded)
    monkeypatch.setattr(muon, "Replayed", lambda work, device: Again(work))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device=None: "a pretended GPU")
    found = device.device_of
    for command in pkgutil.iter_modules(cli.__path__, f"{cli.__name__}."):
        importlib.import_module(command.name)  # one first imported while this lasts would keep what it found
    for module in list(sys.modules.values()):
        if getattr(module, "device_of", None) is found:
            monkeypatch.setattr(module, "device_of", lambda name="auto": CPU if name == "cpu" else DEVICE)
    with _Functions(), _Operators():
        yield


@contextmanager
def recording() -> Iterator[None]:
    """While this lasts, what a CUDA graph cannot hold raises :class:`WaitedError`."""
    _Functions.recording = True
    try:
        yield
    finally:
        _Functions.recording = False


class Again:
    """In the place of :class:`~scenekit.training.replay.Replayed`: from the second time within :func:`recording`."""

    def __init__(self, work: Callable[[], None]) -> None:
        self._work = work
        self._began = False

    def __call__(self) -> None:
        """Do it."""
        with recording() if self._began else nullcontext():
            self._work()
        self._began = True


class Recorded:
    """In the place of :class:`~scenekit.training.late.Late`.

    Attributes:
        again: how many steps would have been replayed.
    """

    late: ClassVar[bool] = True

    def __init__(self, objective: Objective, share: Share, *_: Any) -> None:
        self.objective, self.share = objective, share
        self.again = 0
        self._programs: set[Any] = set()
        self._found: list[Reading] = []

    def run(self, look: Any, context: Context, index: int) -> Outcome:
        """See :class:`~scenekit.training.passes.Passes`."""
        stage = self.objective.stage(look, context)
        program = (stage, described(look, []))
        again = stage is not None and program in self._programs
        self._programs.add(program)
        self.again += again
        with recording() if again else nullcontext():
            outcome, numbers = run(self.objective, look, context)
        asked = Asked(index, context.progress, outcome.unit, tuple(outcome.terms))
        self._found.append(asked.reading(numbers.cpu(), self.share))
        return outcome

    def due(self) -> Reading | None:
        """The step's own."""
        assert self._found[0].finite
        return self._found.pop(0)

    def rest(self) -> list[Reading]:
        """None."""
        return []


def is_there(tensor: Tensor) -> bool:
    """Whether a tensor is on the pretended GPU."""
    return getattr(tensor.untyped_storage(), "pretended", False)


def _tensors(*values: Any) -> list[Tensor]:
    return [x for x in tree_leaves(values) if isinstance(x, Tensor)]


def _put_there(found: Any, given: list[Tensor]) -> Any:
    """Say of the tensors that are new that they are on the GPU."""
    old = {tensor.untyped_storage()._cdata for tensor in given}
    for tensor in _tensors(found):
        storage = tensor.untyped_storage()
        if storage._cdata not in old:
            storage.pretended = True
    return found


class _Functions(TorchFunctionMode):
    """What Python sees: properties, factories, copies from memory to memory."""

    recording = False
    there = False  # whether what operators make out of nothing belongs to the GPU

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if func in PROPERTIES:
            return PROPERTIES[func](*args)
        tensors = _tensors(args, kwargs)
        among = any(map(is_there, tensors))
        if among and func in (Tensor.numpy, Tensor.__array__):
            raise TypeError("can't convert cuda:1 device type tensor to numpy")
        if among and func in READING and self.recording:
            raise WaitedError(f"{func.__name__} waits for the GPU")
        if func in MOVING:
            return self._moved(func, *args, **kwargs)
        goes = among if kwargs.get("device") is None else torch.device(kwargs["device"]).type == "cuda"
        if "device" in kwargs:
            kwargs["device"] = CPU
        _check_generator(kwargs.get("generator"), goes)
        if self.recording and goes and func in (torch.tensor, torch.as_tensor, Tensor.new_tensor):
            raise WaitedError(f"{func.__name__} copies to the GPU")
        before, _Functions.there = _Functions.there, goes
        try:
            found = func(*args, **kwargs)
        finally:
            _Functions.there = before
        return _put_there(found, tensors) if goes else found

    def _moved(self, func: Any, tensor: Tensor, *rest: Any, **kwargs: Any) -> Tensor:
        device, others = _asked(func, rest, kwargs)
        there = is_there(tensor)
        goes = there if device is None else device.type == "cuda"
        before, _Functions.there = _Functions.there, there
        try:
            plain = tensor.to(**others) if others else tensor
            if goes == there:
                return plain
            if self.recording:
                raise WaitedError("a tensor is copied between memories")
            copy = plain.clone()
        finally:
            _Functions.there = before
        copy.untyped_storage().pretended = goes
        return copy


def _asked(func: Any, rest: Any, kwargs: Any) -> tuple[torch.device | None, dict[str, Any]]:
    """The device that ``to`` was given, and the rest of its arguments by name."""
    if func is not Tensor.to:
        return CPU if func is Tensor.cpu else DEVICE, {}
    found = {name: value for name, value in kwargs.items() if value is not None}
    for item in rest:
        if isinstance(item, Tensor):
            found |= {"device": DEVICE if is_there(item) else CPU, "dtype": item.dtype}
        elif isinstance(item, torch.dtype):
            found["dtype"] = item
        elif isinstance(item, bool):
            found["copy" if "non_blocking" in found else "non_blocking"] = item
        elif item is not None:
            found["device"] = item
    device = found.pop("device", None)
    return None if device is None else torch.device(device), found


def _check_generator(generator: Any, goes: bool) -> None:
    if generator is not None and (generator.device.type == "cuda") != goes:
        raise MixedDevicesError(f"a generator of {generator.device} draws for {DEVICE if goes else CPU}")


class _Operators(TorchDispatchMode):
    """What operators see: tensors of one memory, and numbers."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        with torch._C.DisableTorchFunction():
            tensors = _tensors(args, kwargs)
            among = [is_there(tensor) for tensor in tensors]
            if any(among):
                _check(func, tensors, among)
            drawn = [x for x in tree_leaves((args, kwargs)) if isinstance(x, torch.Generator)]
            if tensors and drawn:
                _check_generator(drawn[0], any(among))
            found = func(*args, **kwargs)
            goes = any(among) if tensors else _Functions.there
            return _put_there(found, tensors) if goes else found


def _check(func: Any, tensors: list[Tensor], among: list[bool]) -> None:
    strange = [x for x, there in zip(tensors, among, strict=True) if not there and x.dim()]
    if func is aten.copy_.default or func in INDEXED:
        if func in INDEXED and not among[0]:
            raise MixedDevicesError(f"{func}: a tensor in main memory is indexed by the GPU's")
        if _Functions.recording and (strange or (func in INDEXED and _is_counted(func, tensors))):
            raise WaitedError(f"{func} copies between memories, or counts a mask")
        return
    if _Functions.recording and func in COUNTED:
        raise WaitedError(f"{func} waits for the GPU")
    if strange:
        raise MixedDevicesError(f"{func}: {[list(x.shape) for x in strange]} in main memory, others on the GPU")


def _is_counted(func: Any, tensors: list[Tensor]) -> bool:
    """Whether a mask chooses; one that is filled with a single number is not counted."""
    masked = any(x.dtype in (torch.bool, torch.uint8) for x in tensors[1:])
    return masked and (func is aten.index.Tensor or tensors[-1].numel() != 1)


PROPERTIES: dict[Any, Callable[[Tensor], Any]] = {
    Tensor.device.__get__: lambda x: DEVICE if is_there(x) else CPU,
    Tensor.is_cuda.__get__: is_there,
    Tensor.is_cpu.__get__: lambda x: not is_there(x),
    Tensor.get_device: lambda x: 1 if is_there(x) else -1,
}
