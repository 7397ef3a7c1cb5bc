"""Ctrl-C and SIGTERM: answered between steps, never within one; what is being written is taken back first."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from scenekit.cli.options import say
from scenekit.core.signals import answering


class Terminated(KeyboardInterrupt):
    """SIGTERM; ends a command as Ctrl-C does, with another exit code."""


@contextmanager
def terminating() -> Iterator[None]:
    """SIGTERM raises :class:`Terminated` in the body, so that half-written files are removed and trainings saved."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, _terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def undisturbed() -> Iterator[None]:
    """The first signal that comes in the body is answered at its end, by then all is whole; a second one at once."""
    came: list[int] = []

    def remember(number: int) -> None:
        if came:
            raise KeyboardInterrupt
        came.append(number)
        say("stopping when this step is done; once more to stop at once, without its work")

    with answering(remember):
        yield
    if came:
        raise Terminated if came[0] == signal.SIGTERM else KeyboardInterrupt


def _terminate(number: int, frame: FrameType | None) -> None:
    raise Terminated
