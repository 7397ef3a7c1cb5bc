"""How long work says where it is, to whoever shows that."""

from __future__ import annotations

from collections.abc import Callable

# Told what is done now, and how many of how many parts of it are done.
Report = Callable[[str, int, int], None]


def quiet(what: str, done: int, parts: int) -> None:
    """A report to nobody."""
