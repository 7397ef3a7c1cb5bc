"""Loads the C library of CPU loops: plain functions over raw pointers, called through ctypes.

ctypes releases the GIL for the call; the library splits the range over a small pool of its own threads.
It links no torch and no Python, so that no upgrade of either breaks it. Without it the torch references
serve, and ``doctor`` and one line on standard error say so.
"""

from __future__ import annotations

import ctypes
import platform
import sys
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from scenekit import resources
from scenekit.kernels.choice import ours_serve

ABI = 8  # must equal SCENEKIT_ABI in cuda/cpu/pool.h: a stale library is refused, not called


def _instruction_sets() -> tuple[str, ...]:
    """Names of the library variants that this processor can run, best first."""
    if platform.machine() not in ("x86_64", "AMD64"):
        return ("generic",)
    capability = torch.backends.cpu.get_cpu_capability()
    if capability.startswith("AVX512"):
        return ("v4", "v3")
    return ("v3",) if capability == "AVX2" else ()


def _suffix() -> str:
    return "dylib" if sys.platform == "darwin" else "so"


@cache
def library() -> ctypes.CDLL | None:
    """The C library, or None where the references must serve."""
    if not ours_serve():
        return None
    for name in _instruction_sets():
        file = resources.native(f"libscenekit_{name}.{_suffix()}")
        if file.exists():
            return _open(file)
    _warn("no compiled CPU library was installed (it needs a C++ compiler at install time)")
    return None


def _open(file: Path) -> ctypes.CDLL | None:
    try:
        handle = ctypes.CDLL(str(file))
    except OSError as error:
        _warn(f"{file.name} cannot be loaded ({error})")
        return None
    found = handle.scenekit_abi() if hasattr(handle, "scenekit_abi") else None
    if found != ABI:
        _warn(f"{file.name} has interface {found}, wanted {ABI}; reinstall scenekit")
        return None
    handle.scenekit_set_threads(ctypes.c_int(torch.get_num_threads()))
    return handle


def _warn(reason: str) -> None:
    print(f"scenekit: {reason}; the plain torch references serve instead, many times slower", file=sys.stderr)


def describe() -> str:
    """One phrase for ``doctor``: what serves on the CPU."""
    if not ours_serve():
        return "torch references (SCENEKIT_KERNELS=reference)"
    handle = library()
    return "torch references (no compiled library)" if handle is None else Path(str(handle._name)).name


def serves(*tensors: Tensor) -> bool:
    """Whether the C library takes these: float32 (or integer) tensors on the CPU."""
    return library() is not None and all(
        t.device.type == "cpu" and t.dtype != torch.float64 and t.dtype not in (torch.float16, torch.bfloat16)
        for t in tensors
    )


def call(name: str, *arguments: Tensor | int | float | None) -> None:
    """Call ``scenekit_<name>``: contiguous tensors become pointers, ints int64, floats float32, None null."""
    handle = library()
    assert handle is not None, "ask serves() first"
    function = getattr(handle, f"scenekit_{name}")
    function.restype = None
    function(*(_convert(argument) for argument in arguments))


def _convert(argument: Tensor | int | float | None) -> object:
    if isinstance(argument, Tensor):
        assert argument.is_contiguous(), "native loops walk contiguous memory"
        return ctypes.c_void_p(argument.data_ptr())
    if isinstance(argument, int):
        return ctypes.c_int64(argument)
    return None if argument is None else ctypes.c_float(argument)
