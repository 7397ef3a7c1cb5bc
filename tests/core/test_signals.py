"""Signals that must wait."""

from __future__ import annotations

import signal
import threading

import pytest

from scenekit.core.signals import answering, put_off


def swallowing(done: list[str]) -> None:
    """As trimesh does."""
    with put_off():
        try:
            signal.raise_signal(signal.SIGINT)
            done.append("all of it")
        except BaseException:
            done.append("a part")


def test_a_signal_is_answered_at_the_end_of_what_would_swallow_it() -> None:
    done: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        swallowing(done)
    assert done == ["all of it"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_what_is_ignored_stays_so_and_other_threads_change_nothing() -> None:
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    heard: list[int] = []
    try:
        with answering(heard.append):
            signal.raise_signal(signal.SIGTERM)
            signal.raise_signal(signal.SIGINT)
        assert heard == [signal.SIGINT]
    finally:
        signal.signal(signal.SIGTERM, before)

    def elsewhere() -> None:
        with put_off():
            heard.append(0)

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert heard == [signal.SIGINT, 0]
