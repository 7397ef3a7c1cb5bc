"""Files and folders that are either whole or absent: written beside their place, then moved into it."""

from __future__ import annotations

import ctypes
import os
import re
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from scenekit.core.checks import BadInput

BESIDE = re.compile(r"\.(?P<name>.+)\.(?P<process>\d+)\.(?P<kind>new|old)")
AT_CWD, EXCHANGE = -100, 2  # of Linux's renameat2


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """Give a temporary path (for a file or a folder) that takes ``target``'s place when the block ends well.

    What stood at ``target`` stays untouched if the block fails. Raises BadInput where the disk is full or the
    place cannot be written.
    """
    temporary = target.with_name(f".{target.name}.{os.getpid()}.new")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        remove_leftovers(target.parent, target.name)
        yield temporary
        for file in temporary.rglob("*") if temporary.is_dir() else [temporary]:
            _sync(file)
        if target.is_dir():
            _replace_folder(target, temporary)
        else:
            os.replace(temporary, target)
        _sync(target.parent)
    except OSError as error:
        raise BadInput.of(
            target,
            wanted="to write it",
            found=error.strerror or str(error),
            remedy="free some space or choose another place; what stood there before is untouched",
        ) from error
    finally:
        _remove(temporary)


def remove_leftovers(folder: Path, name: str | None = None) -> None:
    """Remove what killed processes were writing in ``folder`` (for ``name`` alone, if given).

    A folder that was put aside, and whose replacement never came, goes back to its place.
    """
    for path in list(folder.iterdir()) if folder.is_dir() else []:
        found = BESIDE.fullmatch(path.name)
        if found is None or name not in (None, found["name"]) or _is_alive(int(found["process"])):
            continue
        target = folder / found["name"]
        if found["kind"] == "old" and not target.exists():
            os.replace(path, target)
        else:
            _remove(path)


def remove_whole(folder: Path) -> None:
    """Remove a folder so that no half of it is ever seen under its name; of a link, only the link."""
    if folder.is_symlink():
        folder.unlink()
        return
    aside = folder.with_name(f".{folder.name}.{os.getpid()}.new")
    os.replace(folder, aside)
    _remove(aside)


def _replace_folder(target: Path, temporary: Path) -> None:
    """Linux exchanges two folders in one act; elsewhere the old one steps aside first."""
    if _exchanged(temporary, target):
        return
    aside = target.with_name(f".{target.name}.{os.getpid()}.old")
    os.replace(target, aside)
    os.replace(temporary, target)
    shutil.rmtree(aside)


def _exchanged(one: Path, other: Path) -> bool:
    if sys.platform != "linux":
        return False
    try:
        rename = ctypes.CDLL(None).renameat2
    except AttributeError:  # a C library from before 2018
        return False
    return rename(AT_CWD, os.fsencode(one), AT_CWD, os.fsencode(other), EXCHANGE) == 0


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def _sync(path: Path) -> None:
    """Wait until it is on the disk; what is not there needs no waiting."""
    if not (path.is_file() or path.is_dir()):
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
