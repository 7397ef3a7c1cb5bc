"""Work on a GPU that is the same every time: launched piece by piece once, then recorded and replayed.

Forty small kernels take a host longer to ask for than a GPU to run; a CUDA graph asks for all of them at once.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

import torch


class Replayed:
    """``work`` reads and writes the same tensors in every call and returns nothing."""

    def __init__(self, work: Callable[[], None], device: torch.device) -> None:
        self._work = work
        self._device = device
        self._began = False
        self._graph: torch.cuda.CUDAGraph | None = None

    def __call__(self) -> None:
        """Do it; on a CPU, in the first call and where a graph is captured already, without a graph of its own."""
        if self._device.type != "cuda" or torch.cuda.is_current_stream_capturing():
            self._work()
        elif self._graph is not None:
            self._graph.replay()
        elif self._began:
            self._graph = self._recorded()
            self._graph.replay()
        else:  # libraries prepare themselves when they are first asked
            self._began = True
            self._work()

    def _recorded(self) -> torch.cuda.CUDAGraph:
        graph = torch.cuda.CUDAGraph()
        with aside(torch.cuda.Stream(self._device)), recording(graph):
            self._work()
        return graph


@contextmanager
def aside(stream: torch.cuda.Stream) -> Generator[None]:
    """On ``stream``, after what the current one has been asked for and before what it will be."""
    current = torch.cuda.current_stream(stream.device)
    stream.wait_stream(current)
    with torch.cuda.stream(stream):
        yield
    current.wait_stream(stream)


@contextmanager
def recording(graph: torch.cuda.CUDAGraph, pool: Any = None) -> Generator[None]:
    """What the current stream is asked for goes into ``graph``, its memory into ``pool``, that of an earlier graph."""
    with _nothing_collected():
        # Other threads may use the GPU meanwhile: a live view does.
        graph.capture_begin(*(() if pool is None else (pool,)), capture_error_mode="thread_local")
        try:
            yield
        finally:
            graph.capture_end()


@contextmanager
def _nothing_collected() -> Generator[None]:
    """Without Python's collection of cycles: graphs of an earlier training that it frees would break a recording."""
    before = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if before:
            gc.enable()
