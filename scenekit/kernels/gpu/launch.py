"""Launches compiled kernels on torch's current stream; memory comes from torch's allocator.

Nothing here waits for the GPU, so that launches can be captured in a graph (a kernel is loaded at its first launch:
run a step before capturing it). A launch costs a few microseconds of the host, so whatever does not change from one to
the next is kept: for each thread, kernel and device a :class:`Kernel`, with memory for the values of its parameters.
"""

from __future__ import annotations

import ctypes
import importlib.util
import struct
import sys
import threading
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor

from scenekit.kernels.choice import ours_serve
from scenekit.kernels.gpu.compile import Source, cubin, library, waiting

WARP = 32
SHARED_UNASKED = 48 * 1024  # bytes of dynamic shared memory that any kernel may have


class _Thread(threading.local):
    """What this thread has loaded, by source, name and device; to which devices the driver has bound it."""

    def __init__(self) -> None:
        self.kernels: dict[tuple[Source, str, int], Kernel] = {}
        self.devices: set[int] = set()


_THREAD = _Thread()


@cache
def available() -> bool:
    """Whether kernels can be compiled and launched here; one line on standard error says why not."""
    if not ours_serve() or not torch.cuda.is_available():
        return False
    packages = missing()
    if packages:
        reason = f"without {' and '.join(packages)} (pip install {' '.join(packages)})"
        print(f"scenekit: {reason} the plain torch references serve on the GPU, many times slower", file=sys.stderr)
    return not packages


def missing() -> list[str]:
    """Packages that launching needs and that are not installed."""
    names = {"cuda-core": "cuda.core", "cuda-bindings": "cuda.bindings"}
    return [package for package, module in names.items() if not _has(module)]


def _has(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False


def launch(
    source: Source, name: str, blocks: int | tuple[int, ...], threads: int, *arguments: Any, shared: int = 0
) -> None:
    """Run kernel ``name`` of ``source`` on the device of the first tensor among ``arguments``.

    Contiguous tensors become pointers, ints int64 (``long long``), floats float32, None a null pointer. ``shared``
    are bytes of dynamic shared memory. No blocks, no launch.
    """
    grid = blocks if isinstance(blocks, tuple) else (blocks,)
    if 0 in grid:
        return
    for first in arguments:
        if isinstance(first, Tensor):
            launch_on(first.get_device(), source, name, grid, threads, arguments, shared)
            return
    raise TypeError(f"{name}: wanted a tensor among the arguments, found none")


def launch_on(
    index: int,
    source: Source,
    name: str,
    grid: tuple[int, ...],
    threads: int,
    arguments: Sequence[Any],
    shared: int,
) -> None:
    """As :func:`launch`, on the GPU of that number; tests without a GPU put an emulator in its place."""
    current_device, current_stream, launch_kernel = _calls()
    if current_device() != index:
        with torch.cuda.device(index):
            launch_on(index, source, name, grid, threads, arguments, shared)
        return
    key = source, name, index
    kernel = _THREAD.kernels.get(key)
    if kernel is None:
        kernel = _THREAD.kernels[key] = _load(source, name, index, arguments)
    if shared > kernel.shared:
        kernel.ask_for(shared)
    values = [x.data_ptr() if isinstance(x, Tensor) else 0 if x is None else x for x in arguments]
    kernel.pack(kernel.values, 0, *values)
    x, y, z = grid if len(grid) == 3 else (*grid, 1, 1)[:3]
    stream = current_stream(index)
    (status,) = launch_kernel(kernel.function, x, y, z, threads, 1, 1, shared, stream, kernel.parameters, 0)
    if status:
        raise RuntimeError(f"{name}: launch of {grid} blocks of {threads} threads failed ({status.name})")


class Kernel:
    """A kernel on one device, as one thread launches it.

    Attributes:
        function: the driver's handle, within the device's primary context.
        shared: bytes of dynamic shared memory that a launch may ask for.
        pack: writes the values of all parameters into memory, eight bytes each.
        values: that memory; no other thread writes it.
        parameters: address of the list of their addresses, as the driver wants them.
    """

    __slots__ = ("_addresses", "function", "name", "pack", "parameters", "shared", "values")

    def __init__(self, name: str, function: Any, arguments: Sequence[Any]) -> None:
        self.name = name
        self.function = function
        self.shared = SHARED_UNASKED
        kinds = ["f4x" if isinstance(x, float) else "q" for x in arguments]
        self.pack = struct.Struct("=" + "".join(kinds)).pack_into
        self.values = bytearray(8 * len(kinds))
        begin = ctypes.addressof(ctypes.c_char.from_buffer(self.values))
        self._addresses = (ctypes.c_void_p * len(kinds))(*range(begin, begin + len(self.values), 8))
        self.parameters = ctypes.addressof(self._addresses)

    def ask_for(self, shared: int) -> None:
        """Let launches have so many bytes of dynamic shared memory; raises RuntimeError where there are not as many."""
        driver = _driver()
        limit = driver.CUfunction_attribute.CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
        answer = driver.cuFuncSetAttribute(self.function, limit, shared)
        _checked(answer, f"{self.name}: {shared} bytes of shared memory")
        self.shared = shared


def blocks_for(count: int, threads: int) -> int:
    """How many blocks of ``threads`` cover ``count``."""
    return -(-count // threads)


def multiprocessors(device: torch.device) -> int:
    """How many multiprocessors a GPU has."""
    return properties(device).multi_processor_count


def shared_memory(device: torch.device) -> int:
    """Bytes of shared memory that the blocks of one multiprocessor have between them, with 1 KiB that each costs."""
    return properties(device).shared_memory_per_multiprocessor


@cache
def properties(device: torch.device) -> Any:
    """What torch knows of a GPU; tests without one put an emulator's in its place."""
    return torch.cuda.get_device_properties(device)


def aligned(tensor: Tensor) -> Tensor:
    """Contiguous, and beginning at a multiple of 16 bytes, as vector loads want it; a copy where it is not."""
    tensor = tensor.contiguous()
    return tensor.clone() if tensor.data_ptr() % 16 else tensor


def standing(rows: Tensor) -> tuple[Tensor, bool]:
    """Rows [N W] as kernels walk them: memory that is :func:`aligned`, and whether it is [W N], by feature."""
    by_feature = rows.stride(0) < rows.stride(1)
    return aligned(rows.t() if by_feature else rows), by_feature


@cache
def _calls() -> tuple[Callable[[], int], Callable[[int], int], Callable[..., tuple[Any]]]:
    """This thread's device, its stream on a device, a launch: what every launch calls, straight into C."""
    torch.cuda.init()
    of_torch: Any = torch._C
    return of_torch._cuda_getDevice, of_torch._cuda_getCurrentRawStream, _driver().cuLaunchKernel


@cache
def _driver() -> Any:
    return library("bindings.driver")


def _load(source: Source, name: str, index: int, arguments: Sequence[Any]) -> Kernel:
    """A kernel for this thread. torch binds a thread to its device at the first call that needs it: before that, ours.

    The thread of autograd's that serves a GPU often has one of our launches as its first.
    """
    if index not in _THREAD.devices:
        _checked(_driver().cuCtxSetCurrent(_context(index)), f"device {index}")
        _THREAD.devices.add(index)
    return Kernel(name, _function(source, name, index), arguments)


@cache
def _context(index: int) -> Any:
    """The primary context of a device, which torch's memory and streams belong to; kept until the process ends."""
    driver = _driver()
    return _checked(driver.cuDevicePrimaryCtxRetain(driver.CUdevice(index)), f"device {index}")


@cache
def _function(source: Source, name: str, index: int) -> Any:
    """Of the current context, which is that of device ``index``."""
    driver = _driver()
    return _checked(driver.cuKernelGetFunction(_kernel(source, name, architecture(index))), name)


@cache
def _kernel(source: Source, name: str, architecture: str) -> Any:
    return _checked(_driver().cuLibraryGetKernel(_library(source, architecture), name.encode()), name)


@cache
def _library(source: Source, architecture: str) -> Any:
    """Loaded into a context when the first of its kernels is asked for there."""
    with waiting():
        file = cubin(source, architecture)
    return _checked(_driver().cuLibraryLoadFromFile(str(file).encode(), [], [], 0, [], [], 0), file.name)


@cache
def architecture(index: int) -> str:
    """What kernels for the GPU of that number are compiled for, as ``sm_90``."""
    major, minor = torch.cuda.get_device_capability(index)
    return f"sm_{major}{minor}"


def _checked(answer: tuple[Any, ...], what: str) -> Any:
    """The value of a driver's answer, None where it has none; raises RuntimeError where it is an error."""
    status, *value = answer
    if status:
        raise RuntimeError(f"{what}: the CUDA driver answered {status.name}")
    return value[0] if value else None
