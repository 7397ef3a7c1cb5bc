"""Damaged files by the million, many at once: ``python -m tests.nightly.fuzz --processes 16``.

Every reader of a capture, of a splat format, of scenes of runs, meshes, points and signals is given so many damaged
files. All processes work at one reader after the other, a batch each; a splat format is one process of its own, for
what it has learnt of the code leads it (``tests/fuzz/guided.py``). Batch and case make the damage, so that the same
files are tried whatever the number of processes. What was tried is counted in ``--output``, where the first file for
each fault is kept too; a command that was ended goes on from there. The exit code is 1 if there were faults.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import NoReturn, Protocol

import torch

from scenekit.assets.splats import CODECS
from tests.fuzz.captures import TARGETS, Target, needs
from tests.fuzz.splats import MEMORY
from tests.fuzz.tally import FOLDER, Tally

BATCH = 2_000  # cases of one process: an abort ends no more, and a fork costs little beside them
PATIENCE = 60  # seconds that one case may take, where every core has its process
SAVING = 5.0  # seconds between two writings of a tally

Ended = Callable[[int, float], None]  # of a process: its exit code and its processor time


class Reader(Protocol):
    """What is fuzzed."""

    tally: Tally

    def begin(self, until: float) -> tuple[int, Ended] | None:
        """A process that tries more, and what to do at its end; None where all there is to try is being tried."""
        ...

    def close(self) -> None:
        """No process of it runs any more."""
        ...


class Blind:
    """A reader whose files are damaged by chance, so that any process may try any batch.

    Batches are counted in their order: those that end early wait for the ones before them, and what is counted is
    all there is from the first case on.
    """

    def __init__(self, name: str, wanted: int, output: Path, folder: Path) -> None:
        for package in needs(name):  # before memory is limited, and before warnings are faults
            import_module(package)
        self.tally, self.wanted = Tally.of(name, output), wanted
        self.folder, self.kept = folder, output / name
        self.target = Target(name, folder / "good")
        self.handed, self.saved = self.tally.cases, time.monotonic()
        self.early: dict[int, tuple[int, float, Counter[str]]] = {}

    def begin(self, until: float) -> tuple[int, Ended] | None:
        """The next batch."""
        first, count = self.handed, min(BATCH, self.wanted - self.handed)
        if count <= 0:
            return None
        self.handed += count
        self.kept.mkdir(parents=True, exist_ok=True)
        folder = self.folder / str(first)
        folder.mkdir()
        child = os.fork()
        if child == 0:
            self._in_the_child(folder, first, count)
        return child, partial(self._ended, folder, first, count)

    def _in_the_child(self, folder: Path, first: int, count: int) -> NoReturn:
        code, said = 1, (folder / "said").open("a")
        try:
            for number in (signal.SIGTERM, signal.SIGALRM):
                signal.signal(number, signal.SIG_DFL)
            os.dup2(said.fileno(), 1)  # libraries complain of each damaged file
            os.dup2(said.fileno(), 2)
            found = tried(self.target.copied(folder / "copy"), count, random.Random(1 + first), folder, self.kept)
            (folder / "found.json").write_text(json.dumps(found))
            code = 0
        except BaseException:
            traceback.print_exc(file=said)
            said.flush()
        finally:
            os._exit(code)

    def _ended(self, folder: Path, first: int, count: int, code: int, seconds: float) -> None:
        if code == 0:
            found = Counter(json.loads((folder / "found.json").read_text()))
        else:
            for name in ("last", "said"):
                shutil.copy(folder / name, self.kept / f"{name}-{first}")
            found = Counter({f"ended with {code}, after {self.kept / f'last-{first}'}": 1})
        shutil.rmtree(folder)
        self.early[first] = count, seconds, found
        while self.tally.cases in self.early:
            self.tally.add(*self.early.pop(self.tally.cases))
        if self.tally.cases == self.wanted or time.monotonic() > self.saved + SAVING:
            self.tally.save()
            self.saved = time.monotonic()

    def close(self) -> None:
        """Batches whose predecessors were not tried are tried again another time."""
        self.tally.save()


class Guided:
    """A splat format, fuzzed by one process that learns which files reach new code."""

    def __init__(self, name: str, wanted: int, output: Path) -> None:
        self.tally, self.wanted, self.output = Tally.of(name, output), wanted, output
        self.begun = self.tally.cases >= wanted

    def begin(self, until: float) -> tuple[int, Ended] | None:
        """All cases, once."""
        if self.begun:
            return None
        self.begun = True
        folder = self.output / self.tally.name
        folder.mkdir(parents=True, exist_ok=True)
        minutes = (until - time.monotonic()) / 60
        command = [sys.executable, "-m", "tests.fuzz.guided", self.tally.name, "--cases", str(self.wanted),
                   "--minutes", str(minutes), "--output", str(self.output)]  # fmt: skip
        log = (os.POSIX_SPAWN_OPEN, 1, str(folder / "log"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        child = os.posix_spawn(
            command[0], command, os.environ, file_actions=[log, (os.POSIX_SPAWN_DUP2, 1, 2)], setsigmask=[]
        )
        return child, self._ended

    def _ended(self, code: int, seconds: float) -> None:
        self.tally = Tally.of(self.tally.name, self.output)
        if code != 0:
            self.tally.places[f"ended with {code}, see {self.output / self.tally.name / 'log'}"] += 1
            self.tally.save()

    def close(self) -> None:
        """It has counted for itself."""
        self.tally = Tally.of(self.tally.name, self.output)


def tried(target: Target, cases: int, chance: random.Random, folder: Path, kept: Path) -> Counter[str]:
    """What comes of so many cases: how many were read, microseconds of the slowest, faults by their place."""
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, resource.RLIM_INFINITY))
    found: Counter[str] = Counter()
    for _ in range(cases):
        file, data = target.case(chance)
        (folder / "last").write_bytes(data)
        signal.alarm(PATIENCE)  # ends this process
        began = time.perf_counter()
        try:
            found["read"] += target.survives(file, data)
        except Exception as error:
            frames = traceback.extract_tb(error.__traceback__)
            ours = next((f for f in reversed(frames) if "/scenekit/" in f.filename), frames[-1])
            where = f"{type(error).__name__} in {Path(ours.filename).name}:{ours.lineno}: {str(error)[:80]!r}"
            if where not in found:
                (kept / f"{hashlib.sha256(data).hexdigest()[:12]}-{file.name}").write_bytes(data)
            found[where] += 1
        found["longest"] = max(found["longest"], round(1e6 * (time.perf_counter() - began)))
    signal.alarm(0)
    return found


def side_by_side(readers: Sequence[Reader], processes: int, until: float) -> None:
    """Have so many processes try cases until all are tried, or begin no more once the clock says ``until``."""
    waiting, running = list(readers), dict[int, Ended]()
    try:
        while True:
            while waiting and len(running) < processes and time.monotonic() < until:
                begun = waiting[0].begin(until)
                if begun is None:
                    waiting.pop(0)
                else:
                    running[begun[0]] = begun[1]
            if not running:
                break
            child, status, used = os.wait4(-1, 0)
            running.pop(child)(os.waitstatus_to_exitcode(status), used.ru_utime + used.ru_stime)
    finally:
        for child in running:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        for reader in readers:
            reader.close()


def installed(name: str) -> bool:
    """Whether a reader can be fuzzed; a sentence where it cannot."""
    packages = ("atheris",) if name in CODECS else needs(name)
    missing = [package for package in packages if find_spec(package) is None]
    if missing:
        print(f"{name}: skipped, not installed: {', '.join(missing)}", flush=True)
    return not missing


def fuzz(names: Sequence[str], cases: int, until: float, processes: int, output: Path) -> int:
    """Bring every reader named to so many cases, those that ``output`` counts included; how many faults."""
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as folder:
        readers: list[Reader] = [Guided(name, cases, output) for name in names if name in CODECS]
        readers += [Blind(name, cases, output, Path(folder) / name) for name in names if name not in CODECS]
        side_by_side(readers, processes, until)
    for reader in readers:
        reader.tally.report(cases)
    return sum(len(reader.tally.places) for reader in readers)


def main() -> None:
    """Fuzz the readers named, or all."""
    parser = argparse.ArgumentParser(description="Damaged files against their readers.")
    parser.add_argument("readers", nargs="*", metavar="reader", help=f"of {', '.join((*CODECS, *TARGETS))}; else all")
    parser.add_argument("--processes", type=int, default=len(os.sched_getaffinity(0)), help="at once")
    parser.add_argument("--cases", type=int, default=1_000_000, help="of each; those that --output counts already too")
    parser.add_argument("--minutes", type=float, default=math.inf, help="begin no more then; the same command goes on")
    parser.add_argument("--output", type=Path, default=FOLDER)
    options = parser.parse_args()
    unknown = set(options.readers) - {*CODECS, *TARGETS}
    if unknown:
        parser.error(f"wanted readers, found {', '.join(sorted(unknown))}")
    torch.set_num_threads(1)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what was tried is counted
    until = time.monotonic() + 60 * options.minutes
    names = [name for name in options.readers or (*CODECS, *TARGETS) if installed(name)]
    sys.exit(1 if fuzz(names, options.cases, until, options.processes, options.output) else 0)


if __name__ == "__main__":
    main()
