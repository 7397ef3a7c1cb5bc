"""Launches compiled kernels on torch's current stream; memory comes from torch's allocator.

Nothing here waits for the GPU, so that launches can be captured in a graph (a kernel is loaded at its first launch:
run a step before capturing it).
"""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from scenekit.kernels.gpu.compile import Source, cubin, library

WARP = 32


@dataclass(frozen=True)
class Stream:
    """A CUDA stream of torch's, as cuda.core takes foreign ones."""

    handle: int

    def __cuda_stream__(self) -> tuple[int, int]:
        return 0, self.handle


@cache
def available() -> bool:
    """Whether kernels can be compiled and launched here; one line on standard error says why not."""
    if os.environ.get("SCENEKIT_KERNELS", "").lower() == "reference" or not torch.cuda.is_available():
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


def serves(*tensors: Tensor, dtypes: tuple[torch.dtype, ...] = (torch.float32,)) -> bool:
    """Whether our kernels take these: on one GPU, floating ones of ``dtypes``."""
    return available() and all(
        t.device.type == "cuda" and (not t.is_floating_point() or t.dtype in dtypes) for t in tensors
    )


def launch(
    source: Source, name: str, blocks: int | tuple[int, ...], threads: int, *arguments: Any, shared: int = 0
) -> None:
    """Run kernel ``name`` of ``source`` on the device of the first tensor among ``arguments``.

    Contiguous tensors become pointers, ints int64 (``long long``), floats float32, None a null pointer. ``shared``
    are bytes of dynamic shared memory. No blocks, no launch.
    """
    grid = blocks if isinstance(blocks, tuple) else (blocks,)
    if 0 not in grid:
        device = next(x.device for x in arguments if isinstance(x, Tensor))
        launch_on(device, source, name, grid, threads, arguments, shared)


def launch_on(
    device: torch.device,
    source: Source,
    name: str,
    grid: tuple[int, ...],
    threads: int,
    arguments: Sequence[Any],
    shared: int,
) -> None:
    """As :func:`launch`, on ``device``; tests without a GPU put an emulator in its place."""
    index = device.index
    with torch.cuda.device(device):
        kernel = _kernel(source, name, _architecture(index), index, shared)
        core = library("core")
        config = core.LaunchConfig(grid=grid, block=threads, shmem_size=shared)
        core.launch(_stream(index), config, kernel, *(_convert(x) for x in arguments))


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


def refuse_if_deterministic(name: str, reason: str = "adds in the order that threads arrive") -> None:
    """Raises RuntimeError where ``torch.use_deterministic_algorithms`` is on: this op has no such body."""
    if torch.are_deterministic_algorithms_enabled():
        raise RuntimeError(f"{name}: {reason} on a GPU; train on a CPU, or with SCENEKIT_KERNELS=reference")


def _convert(argument: Tensor | float | None) -> object:
    if isinstance(argument, Tensor):
        assert argument.is_contiguous(), "kernels walk contiguous memory"
        return argument.data_ptr()
    if isinstance(argument, float):
        return np.float32(argument)
    return 0 if argument is None else int(argument)


@cache
def _architecture(index: int) -> str:
    major, minor = torch.cuda.get_device_capability(index)
    return f"sm_{major}{minor}"


def _stream(index: int) -> Any:
    return _wrapped(index, torch.cuda.current_stream(index).cuda_stream)


@cache
def _wrapped(index: int, handle: int) -> Any:
    device = library("core").Device(index)
    device.set_current()
    return device.create_stream(Stream(handle))


@cache
def _kernel(source: Source, name: str, architecture: str, index: int, shared: int) -> Any:
    """Loaded once a device; above 48 KiB of shared memory a kernel must ask."""
    kernel = _code(source, architecture, index).get_kernel(name)
    if shared > 48 * 1024:
        driver = library("bindings.driver")
        limit = driver.CUfunction_attribute.CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
        (status,) = driver.cuKernelSetAttribute(limit, shared, kernel.handle, driver.CUdevice(index))
        if status != driver.CUresult.CUDA_SUCCESS:
            raise RuntimeError(f"{name}: {shared} bytes of shared memory refused ({status.name})")
    return kernel


@cache
def _code(source: Source, architecture: str, index: int) -> Any:
    core = library("core")
    core.Device(index).set_current()
    return core.ObjectCode.from_cubin(str(cubin(source, architecture)))
