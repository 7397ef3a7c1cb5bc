"""Files and folders that are either whole or absent: written beside their place, then moved into it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from scenekit.core.checks import BadInput


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """Give a temporary path (for a file or a folder) that takes ``target``'s place when the block ends well.

    What stood at ``target`` stays untouched if the block fails. Raises BadInput where the disk is full or the
    place cannot be written.
    """
    temporary = target.with_name(f".{target.name}.{os.getpid()}.new")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        _sync(temporary)
        if target.is_dir():
            aside = target.with_name(f".{target.name}.{os.getpid()}.old")
            os.replace(target, aside)
            os.replace(temporary, target)
            shutil.rmtree(aside)
        else:
            os.replace(temporary, target)
    except OSError as error:
        raise BadInput.of(
            target,
            wanted="to write it",
            found=error.strerror or str(error),
            remedy="free some space or choose another place; what stood there before is untouched",
        ) from error
    finally:
        _remove(temporary)


def _sync(path: Path) -> None:
    for file in path.rglob("*") if path.is_dir() else [path]:
        if file.is_file():
            descriptor = os.open(file, os.O_RDONLY)
            os.fsync(descriptor)
            os.close(descriptor)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
