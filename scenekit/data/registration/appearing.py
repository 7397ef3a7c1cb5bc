"""Files and folders of begun work that are whole wherever they are there, so that a killed search can go on."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def appearing(target: Path) -> Iterator[Path]:
    """Give a path beside ``target`` that takes its place where the body ends well, and goes again where it does not.

    What a killed process left under that path is removed first. Nothing is forced onto the disk: a capture has
    thousands of photographs, and after a power cut the work can be done again.
    """
    partial = target.with_name(f".{target.name}.partial")
    _remove(partial)
    try:
        yield partial
        partial.replace(target)
    finally:
        _remove(partial)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
