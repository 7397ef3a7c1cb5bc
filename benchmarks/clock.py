"""Milliseconds of work: on a GPU of the work alone, apart from what the host needs to ask for it."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median

import torch

REPETITIONS, WARM_UP, ISSUES = 20, 5, 10
CYCLES = 2e6  # of a GPU in a millisecond, at most
Body = Callable[[], object]


def timed(body: Body, device: torch.device, repetitions: int = REPETITIONS) -> float:
    """Median milliseconds; on a GPU of its work alone, which waits there until the host has issued all of it."""
    if device.type != "cuda":
        return median([_elapsed(body) for _ in range(WARM_UP + repetitions)][WARM_UP:])
    ahead = round((1.5 * (issued(body, device) or 0.0) + 0.1) * CYCLES)
    found = []
    for _ in range(repetitions):
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        torch.cuda._sleep(ahead)
        start.record()
        body()
        end.record()
        end.synchronize()
        found.append(start.elapsed_time(end))
    return median(found)


def issued(body: Body, device: torch.device) -> float | None:
    """Median milliseconds that the host takes to issue the work to a GPU with nothing else to do; None without one."""
    if device.type != "cuda":
        return None
    found = []
    for _ in range(WARM_UP + ISSUES):
        torch.cuda.synchronize(device)
        found.append(_elapsed(body))
    torch.cuda.synchronize(device)
    return median(found[WARM_UP:])


def _elapsed(body: Body) -> float:
    began = time.perf_counter()
    body()
    return 1000 * (time.perf_counter() - began)
