"""Two images at a time, each by one thread: small operators lose more by waiting than they gain from more."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import torch

Item = TypeVar("Item")
Result = TypeVar("Result")


@contextmanager
def one_thread() -> Iterator[None]:
    """torch runs each operator in the thread that calls it; what was set before is put back.

    On a busy machine a pool of threads spins at every barrier: the same work took twenty times as long.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def two_at_a_time(work: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
    """``work`` of every item, in order."""
    with one_thread(), ThreadPoolExecutor(2) as pool:
        return list(pool.map(work, items))
