"""Ctrl-C and SIGTERM, where they must not be answered on the spot."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager


@contextmanager
def answering(answer: Callable[[int], object]) -> Generator[None]:
    """Have ``answer`` called with the signal, in the body alone; what is ignored stays so.

    In another thread than the main one, where none is ever answered, nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    answered = [number for number, handler in before.items() if callable(handler)]
    for number in answered:
        signal.signal(number, lambda came, _: answer(came))
    try:
        yield
    finally:
        for number in answered:
            signal.signal(number, before[number])


@contextmanager
def put_off() -> Generator[None]:
    """Signals that come in the body are answered at its end.

    For libraries that go on after any exception, KeyboardInterrupt included (trimesh): they would leave out what
    they were at, and what they return would be taken for whole.
    """
    came: list[int] = []
    with answering(came.append):
        yield
    if came:
        signal.raise_signal(came[0])
