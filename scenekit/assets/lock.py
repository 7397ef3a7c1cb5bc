"""One process at a time writes a run: a lock that the system lets go of however that process ends."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from scenekit.assets.atomic import remove_leftovers
from scenekit.core.checks import BadInput

LOCK = ".lock"


@contextmanager
def holding(run: Path) -> Iterator[None]:
    """Have ``run`` to oneself, made if it is not there, and rid of what killed processes left half written.

    Raises BadInput where another process writes it, or where it cannot be locked. Folders that were made and
    stayed empty go again.
    """
    made = [folder for folder in (run, *run.parents) if not folder.exists()]
    descriptor = _locked(run)
    try:
        remove_leftovers(run)
        remove_leftovers(run / "checkpoints")
        yield
    finally:
        (run / LOCK).unlink(missing_ok=True)
        os.close(descriptor)
        for folder in made:
            if any(folder.iterdir()):
                break
            folder.rmdir()


def _locked(run: Path) -> int:
    """An open lock file of our own. One that its owner has just removed is no lock: the next one is tried."""
    file = run / LOCK
    while True:
        try:
            run.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
        except OSError as error:
            raise BadInput.of(run, wanted="a folder to write a run to", found=error.strerror or str(error),
                              remedy="choose another with -o") from error  # fmt: skip
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if file.exists() and os.path.samestat(os.fstat(descriptor), file.stat()):
                with suppress(OSError):  # who it is helps others; a full disk is said by what needs it
                    os.truncate(descriptor, 0)
                    os.write(descriptor, str(os.getpid()).encode())
                return descriptor
        except BlockingIOError:
            owner = os.read(descriptor, 20).decode(errors="replace") or "another"
            os.close(descriptor)
            raise BadInput.of(run, wanted="a run that no other process writes", found=f"process {owner} at it",
                              remedy="wait until it ends, or choose another folder with -o") from None  # fmt: skip
        except OSError as error:
            os.close(descriptor)
            raise BadInput.of(run, wanted="a folder that can be locked", found=error.strerror or str(error),
                              remedy="choose one on another disk with -o") from error  # fmt: skip
        os.close(descriptor)
