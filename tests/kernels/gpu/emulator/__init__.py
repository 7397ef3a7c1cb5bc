"""Runs our CUDA kernels on a CPU, thread by thread, so that their logic is tested where there is no GPU.

``device.h`` gives g++ the part of CUDA's language that the kernels use; ``scheduler.cpp`` runs the threads of a block
as fibers, blocks and threads in shuffled orders. Tensors are copied between pages that nobody may touch, what a body
allocates begins as NaN, shared memory too. What this cannot show: speed, how memory is ordered between threads that run
at once, and whether inline PTX says what its emulated twin says.
"""

from __future__ import annotations

import ctypes
import hashlib
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from scenekit import resources
from scenekit.kernels.gpu import launch
from scenekit.kernels.gpu.compile import Source

HERE = Path(__file__).parent
COMPILER = shutil.which("g++") or shutil.which("clang++")
FLAGS = ["-std=c++17", "-O1", "-fPIC", "-ffp-contract=off", "-fno-strict-aliasing", "-U_FORTIFY_SOURCE", "-w"]
CHECKS = ["-fsanitize=alignment,bounds,signed-integer-overflow", "-fsanitize-undefined-trap-on-error"]
DTYPES = {torch.float32: "f", torch.float64: "d", torch.float16: "h", torch.bfloat16: "b", torch.int64: "l",
          torch.int32: "i", torch.int16: "s", torch.bool: "c", torch.uint8: "c"}  # fmt: skip
MOST_SHARED = {"sm_75": 64, "sm_80": 163, "sm_86": 99, "sm_90": 227}  # KiB a block
KERNEL = re.compile(r'extern "C" __global__ void\s+(?:__launch_bounds__\([^)]*\)\s+)?(\w+)\(')


class _Value(ctypes.Union):
    _fields_ = (("pointer", ctypes.c_void_p), ("whole", ctypes.c_longlong), ("real", ctypes.c_float))


class _Argument(ctypes.Structure):
    _fields_ = (("kind", ctypes.c_int), ("dtype", ctypes.c_int), ("value", _Value))


class _Launch(ctypes.Structure):
    _fields_ = (("grid", ctypes.c_uint * 3), ("block", ctypes.c_uint * 3), ("shared", ctypes.c_size_t),
                ("seed", ctypes.c_uint))  # fmt: skip


class Poisoned(TorchDispatchMode):
    """Memory that torch leaves as it is begins as NaN, or as numbers far too large."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if func.overloadpacket.__name__ in ("empty", "new_empty", "empty_like", "empty_strided", "new_empty_strided"):
            result.fill_(torch.nan if result.is_floating_point() else 113)
        return result


@dataclass(frozen=True)
class Properties:
    """What bodies ask of an emulated GPU: few multiprocessors, so that blocks take several parts of the work."""

    shared_memory_per_multiprocessor: int
    multi_processor_count: int = 2


@dataclass
class Emulator:
    """Stands in for a GPU of ``architecture``; counts launches, each of which is shuffled in another way."""

    architecture: str
    launches: int = 0

    def run(self, source: Source, name: str, grid: tuple[int, ...], threads: int, arguments: Any, shared: int) -> None:
        """One launch; raises AssertionError with what was wrong."""
        assert threads in range(32, 1025, 32), f"{name}: {threads} threads a block"
        assert max((1, *grid[1:])) < 2**16, f"{name}: a grid of {grid}"
        assert shared <= MOST_SHARED[self.architecture] * 1024, f"{name}: {shared} bytes of shared memory"
        library = _library(source, self.architecture)
        packed = [_pack(library, x) for x in arguments]
        places = {
            x.data_ptr(): (x, p.value.pointer) for x, p in zip(arguments, packed, strict=True) if p.kind == ord("p")
        }
        for p, x in zip(packed, arguments, strict=True):
            if p.kind == ord("p") and places[x.data_ptr()][1] != p.value.pointer:
                library.emulated_take(p.value.pointer, x.data_ptr(), x.nbytes)
                p.value.pointer = places[x.data_ptr()][1]
        how = _Launch((ctypes.c_uint * 3)(*grid, *[1] * (3 - len(grid))), (ctypes.c_uint * 3)(threads, 1, 1), shared)
        how.seed = self.launches
        self.launches += 1
        message = ctypes.create_string_buffer(512)
        call = getattr(library, f"emulated_launch_{name}")
        call.restype = ctypes.c_bool
        fine = call((_Argument * len(packed))(*packed), len(packed), ctypes.byref(how), message, ctypes.c_size_t(512))
        whole = [library.emulated_take(p, x.data_ptr(), x.nbytes) for x, p in places.values()]
        assert fine, f"{name}: {message.value.decode()}; arguments at {[hex(p) for _, p in places.values()]}"
        assert all(whole), f"{name}: memory beside tensors was written, {whole}"


@contextmanager
def emulated(monkeypatch: pytest.MonkeyPatch, architecture: str = "sm_90") -> Iterator[Emulator]:
    """Launches reach an emulated GPU, whose memory is that of CPU tensors."""
    emulator = Emulator(architecture)

    def on_device(_: int, source: Source, name: str, grid: tuple[int, ...], threads: int, *rest: Any) -> None:
        emulator.run(source, name, grid, threads, *rest)

    with monkeypatch.context() as patches, Poisoned():
        patches.setattr(launch, "launch_on", on_device)
        patches.setattr(launch, "properties", lambda _: Properties(1024 * (MOST_SHARED[architecture] + 1)))
        yield emulator


def _pack(library: ctypes.CDLL, argument: Any) -> _Argument:
    packed = _Argument()
    if isinstance(argument, Tensor):
        assert argument.is_contiguous(), "kernels walk contiguous memory"
        packed.kind, packed.dtype = ord("p"), ord(DTYPES[argument.dtype])
        packed.value.pointer = library.emulated_place(argument.data_ptr(), argument.nbytes)
        assert packed.value.pointer, "no memory for a tensor's copy"
    elif argument is None:
        packed.kind = ord("n")
    elif isinstance(argument, float):
        packed.kind, packed.value.real = ord("f"), argument
    else:
        packed.kind, packed.value.whole = ord("i"), int(argument)
    return packed


@cache
def _folder() -> Path:
    folder = tempfile.TemporaryDirectory(prefix="scenekit-emulated-")
    _KEPT.append(folder)
    return Path(folder.name)


_KEPT: list[tempfile.TemporaryDirectory[str]] = []  # removed when the process ends


@cache
def _scheduler() -> Path:
    target = _folder() / "scheduler.so"
    subprocess.run(
        [str(COMPILER), *FLAGS, "-O2", "-shared", str(HERE / "scheduler.cpp"), "-o", str(target)], check=True
    )
    return target


@cache
def _library(source: Source, architecture: str) -> ctypes.CDLL:
    """The source with all its kernels as a library, on the one scheduler."""
    file = resources.path("cuda") / f"{source.file}.cu"
    names = KERNEL.findall(file.read_text())
    stem = f"{source.file}-{hashlib.sha256(f'{source}{architecture}'.encode()).hexdigest()[:16]}"
    unit, target = _folder() / f"{stem}.cpp", _folder() / f"{stem}.so"
    kernels = "\n".join(f"EMULATED_KERNEL({name})" for name in names)
    unit.write_text(f'#include "kernel.h"\n#include "{file}"\n{kernels}\n')
    version = f"{architecture.removeprefix('sm_')}0"
    macros = [
        "-DSCENEKIT_EMULATED",
        "-D__CUDACC__",
        f"-D__CUDA_ARCH__={version}",
        *(f"-D{k}={v}" for k, v in source.macros),
    ]
    include = [f"-I{HERE / 'include'}", f"-I{HERE}", f"-I{resources.path('cuda')}"]
    command = [
        str(COMPILER),
        *FLAGS,
        *CHECKS,
        *macros,
        *include,
        str(unit),
        str(_scheduler()),
        "-shared",
        "-o",
        str(target),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{source}: {done.stderr[:4000]}"
    library = ctypes.CDLL(str(target))
    library.emulated_place.argtypes, library.emulated_place.restype = (
        [ctypes.c_void_p, ctypes.c_size_t],
        ctypes.c_void_p,
    )
    library.emulated_take.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t]
    library.emulated_take.restype = ctypes.c_bool
    return library
