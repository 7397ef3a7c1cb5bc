"""A GPU that is not there: tensors with shapes and a device and no numbers (torch's FakeTensorMode).

What mixes devices fails by itself, what wants to know a number raises ReadError; while a step is recorded, what copies
from the host fails, too. Python's indexing goes through the device's own runtime in torch, which a torch without CUDA
does not have: it is spelled out in operators here.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.overrides import TorchFunctionMode

DEVICE = torch.device("cuda", 0)
READING = (Tensor.item, Tensor.tolist, Tensor.__float__, Tensor.__int__, Tensor.__bool__, Tensor.numpy)
aten = torch.ops.aten
MODE = FakeTensorMode(allow_non_fake_inputs=False)  # one: what the package keeps for a device belongs to it


class ReadError(Exception):
    """A number was wanted."""


@contextmanager
def fake_gpu() -> Iterator[None]:
    """While this lasts, new tensors may be on ``cuda:0``."""
    torch._C._ensureCUDADeviceGuardSet()
    with MODE, _Indexing():
        yield


@contextmanager
def recording() -> Iterator[None]:
    """While this lasts, copies to the GPU are refused as they are while a CUDA graph is captured."""
    with _Recording():
        yield


def fake(like: Tensor) -> Tensor:
    """A tensor of the same shape on the GPU."""
    return torch.empty_strided(like.shape, like.stride(), dtype=like.dtype, device=DEVICE)


def move(module: nn.Module) -> None:
    """Put fakes in the place of a module's parameters and buffers."""
    for part in module.modules():
        for name, parameter in part._parameters.items():
            if parameter is not None:
                part._parameters[name] = nn.Parameter(fake(parameter), requires_grad=False)
        for name, buffer in part._buffers.items():
            if buffer is not None:
                part._buffers[name] = fake(buffer)


class _Indexing(TorchFunctionMode):
    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in READING:
            raise ReadError(func.__name__)
        if func is Tensor.__getitem__:
            return _taken(*args)
        if func is Tensor.__setitem__:
            place = _taken(args[0], args[1], last=False)
            if isinstance(place, tuple):
                value = args[2] if isinstance(args[2], Tensor) else torch.full((), args[2], device=place[0].device)
                return aten.index_put_(place[0], place[1], value.to(place[0].dtype))
            return place.copy_(args[2]) if isinstance(args[2], Tensor) else place.fill_(args[2])
        return func(*args, **(kwargs or {}))


class _Recording(TorchFunctionMode):
    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in (Tensor.__getitem__, Tensor.__setitem__):
            for item in args[1] if isinstance(args[1], tuple) else (args[1],):
                assert not isinstance(item, (list, range)), f"an index of {len(item)} numbers is copied to the GPU"
                assert not _is_hosted(item), "an index on the host is copied to the GPU"
        found = func(*args, **(kwargs or {}))
        copies = func in (Tensor.to, Tensor.cuda, Tensor.type_as, Tensor.copy_) and _is_hosted(args[0], *args[1:])
        made = func in (torch.tensor, torch.as_tensor)
        assert not ((copies or made) and isinstance(found, Tensor) and found.is_cuda), f"{func.__name__} copies to it"
        return found


def _is_hosted(*items: Any) -> bool:
    return any(isinstance(item, Tensor) and not item.is_cuda for item in items)


def _taken(tensor: Tensor, index: Any, *, last: bool = True) -> Any:
    items = list(index) if isinstance(index, tuple) else [index]
    used = sum(item.dim() if _is_mask(item) else 1 for item in items if item is not None and item is not ...)
    at = items.index(...) if any(item is ... for item in items) else len(items)
    middle = [slice(None)] * (tensor.dim() - used)
    items = items[:at] + middle + items[at + 1 :]
    chosen: list[Tensor | None] = []
    for item in items:
        axis = len(chosen)
        if item is None:
            tensor = aten.unsqueeze(tensor, axis)
            chosen.append(None)
        elif isinstance(item, slice):
            if item != slice(None):
                tensor = aten.slice(tensor, axis, item.start, item.stop, item.step or 1)
            chosen.append(None)
        elif isinstance(item, int) and not isinstance(item, bool):
            tensor = aten.select(tensor, axis, item)
        else:
            rows = item if isinstance(item, Tensor) else torch.tensor(item, device=tensor.device)
            chosen.append(rows)
            chosen.extend([None] * (rows.dim() - 1 if _is_mask(rows) else 0))
    if all(item is None for item in chosen):
        return tensor
    picked = [item for item in chosen if item is not None] if _is_mask(chosen[0]) else chosen
    return aten.index(tensor, picked) if last else (tensor, picked)


def _is_mask(item: Any) -> bool:
    return isinstance(item, Tensor) and item.dtype == torch.bool
