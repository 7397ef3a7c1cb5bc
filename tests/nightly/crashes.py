"""End commands by signals at random moments and go on: ``python -m tests.nightly.crashes --kills 300``.

Trainings of several families, a fit, conversions between and within families, the search for poses, exports and films
are ended by SIGKILL (most often), Ctrl-C or SIGTERM and resumed, until they are done. Every second end comes at a
random time, the others right before a random change to the command's files: what lies between two of these takes less
time than chance would ever hit. After every end each checkpoint and each finished file must be whole, and where a file
is replaced it is the old one or the new one; what is finished must have the bits of what nothing disturbed. Children
are forked from a process that has imported everything and computed nothing, so that a moment is one of the work, not of
the import. A command that needs an extra which is not installed is named and left out.
"""

from __future__ import annotations

import argparse
import json
import mmap
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import tomllib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch

import scenekit.cli.convert
import scenekit.cli.export
import scenekit.cli.fit
import scenekit.cli.process
import scenekit.cli.render
import scenekit.cli.train
from scenekit.assets import saving
from scenekit.assets.run import checkpoints
from scenekit.assets.state import read_state
from scenekit.cli import main as scenekit
from tests.data.textured import pose, render, write_photographs, write_video

GRID = ["--log2-table", "10", "--levels", "4", "--finest", "32", "--networks.width", "16"]
VOLUME = ["--batch-samples", "4096", "--marching.steps", "32", "--marching.grid", "16", "--occupancy-cells", "512"]
SPLATS, OTHER, FIELD, PHOTOGRAPHS, VIDEO = "splats", "other", "field", "photographs", "video.mp4"
MESH = ["--resolution", "16", "--views", "6", "--size", "48"]
POSES = ["--features", "1500", "--tries", "1"]
LOADED = ("scenekit.data.colmap_library", "imageio_ffmpeg")  # by some commands only once they run
SIGNALS = (*[signal.SIGKILL] * 8, signal.SIGINT, signal.SIGTERM)
CODES = {signal.SIGINT: 130, signal.SIGTERM: 143}
PARSERS: Mapping[str, Callable[[str], Any]] = {".json": json.loads, ".toml": tomllib.loads}
CHANGES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate"}  # audited; and files opened to be written
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT


@dataclass(frozen=True)
class Job:
    """A command that is ended.

    Attributes:
        begin: it.
        resume: how it goes on once its run has a recipe.
        results: patterns of the files it leaves; once there is one of the first, all are whole.
        also: files that must be there in the end, of other bits each time: they tell of seconds.
        over: a command that leaves an older result, which ``begin`` replaces.
        needs: packages that the toolkit does without.
    """

    begin: Sequence[str]
    resume: Sequence[str]
    results: tuple[str, ...] = ("run/scene.safetensors",)
    also: tuple[str, ...] = ()
    over: Sequence[str] | None = None
    needs: tuple[str, ...] = ()


def training(name: str, *flags: str) -> Job:
    """Of the synthetic capture at 16x16."""
    begin = ["train", "synthetic", "-r", name, "--downscale", "8", *flags, "-o", "run"]
    return Job(begin, ["train", "--resume", "-r", name, "-o", "run"])


def conversion(teacher: str, name: str, *flags: str) -> Job:
    """Of a teacher to another representation."""
    begin = ["convert", teacher, "--to", name, "--steps", "12", *flags, "-o", "run"]
    return Job(begin, ["convert", "--resume", "-o", "run"], also=("run/report.json", "run/report.html"))


def exporting(source: str, older: str, *flags: str, results: tuple[str, ...], needs: tuple[str, ...] = ()) -> Job:
    """The file or folder that ``results[0]`` begins with, of a teacher, over that of another."""
    begin, over = (["export", each, Path(results[0]).parts[0], *flags] for each in (source, older))
    return Job(begin, begin, results, over=over, needs=needs)


def filming(target: str, *flags: str) -> Job:
    """Pictures of a teacher, over those of another."""
    begin, over = (["render", each, "--size", "32x24", *flags, "-o", target] for each in (SPLATS, OTHER))
    return Job(begin, begin, (target,), over=over)


def registering(source: str) -> Job:
    """Poses for photographs; begun work is found by the command itself."""
    begin = ["process", source, "-o", "capture", *POSES]
    return Job(begin, begin, ("capture/sparse/0/*.bin", "capture/images/*"), ("capture/process.json",))


TEACHERS = {
    SPLATS: training("gaussians", "--steps", "20", "--max-count", "60"),
    OTHER: training("gaussians", "--steps", "10", "--max-count", "50"),
    FIELD: training("hash_grid", *GRID, *VOLUME, "--steps", "40"),
}


def jobs() -> dict[str, Job]:
    """By name."""
    fit = ["fit", "synthetic-volume", "-r", "hash_grid", *GRID, "--batch-points", "512", "--steps", "20", "-o", "run"]
    mesh = ("open3d", "trimesh")
    dense = ["--coarsest", "4", "--resolution", "8"]
    return {
        "hash_grid": training("hash_grid", *GRID, *VOLUME, "--steps", "40"),
        "gaussians": training("gaussians", "--steps", "40", "--max-count", "60"),
        "dense_grid": training("dense_grid", *dense, *VOLUME, "--steps", "40"),
        "fit": Job(fit, ["fit", "--resume", "-o", "run"]),
        "gaussians to gaussians": conversion(SPLATS, "gaussians", "--max-count", "40"),
        "gaussians to hash_grid": conversion(SPLATS, "hash_grid", *GRID, *VOLUME),
        "hash_grid to gaussians": conversion(FIELD, "gaussians", "--max-count", "40"),
        "hash_grid to hash_grid": conversion(FIELD, "hash_grid", "--levels", "3"),
        "hash_grid to dense_grid": conversion(FIELD, "dense_grid", *dense),
        "export splats.ply": exporting(SPLATS, OTHER, results=("splats.ply",)),
        "export splats.spz": exporting(SPLATS, OTHER, results=("splats.spz",)),
        "export splats.sog": exporting(SPLATS, OTHER, results=("splats.sog",)),
        "export splats.usdz": exporting(SPLATS, OTHER, results=("splats.usdz",), needs=("pxr",)),
        "export page.html": exporting(SPLATS, OTHER, results=("page.html",)),
        "export page": exporting(SPLATS, OTHER, results=("page/index.html", "page/*")),
        "render film.mp4": filming("film.mp4", "--frames", "6"),
        "render picture.png": filming("picture.png"),
        "export mesh.glb": exporting(SPLATS, FIELD, "--as", "mesh", *MESH, results=("mesh.glb",), needs=mesh),
        "export mesh.obj": exporting(
            FIELD, SPLATS, *MESH, "--texture", "32", results=("mesh.obj", "*.mtl", "*.png"), needs=(*mesh, "xatlas")
        ),
        "process photographs": registering(PHOTOGRAPHS),
        "process video": registering(VIDEO),
    }


def forked(arguments: Sequence[str], folder: Path, files: Watched) -> int:
    """A child that runs a command in ``folder``, with a checkpoint whenever the one before is written."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        os.chdir(folder)
        saving.EVERY, saving.LARGEST_SHARE = 0.0, 1.0
        log = os.open("log.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(log, 1)
        os.dup2(log, 2)
        files.begin(folder)
        code = scenekit(arguments)
    except KeyboardInterrupt:  # before the command was there to answer it
        code = CODES[signal.SIGINT]
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    return code


class Watched:
    """Counts the changes that a child makes to files, and ends it right before one of them.

    Those of libraries in C++ are not counted.
    """

    def __init__(self, last: int = 0, number: signal.Signals = signal.SIGKILL) -> None:
        self.last, self.number = last, number
        self._count = mmap.mmap(-1, 8)  # both processes see it

    @property
    def count(self) -> int:
        """So far."""
        return int.from_bytes(self._count[:], "little")

    def begin(self, folder: Path) -> None:
        """In the child."""
        within = f"{folder}{os.sep}"

        def hook(event: str, given: tuple[Any, ...]) -> None:
            changes = event in CHANGES or (event == "open" and isinstance(given[2], int) and given[2] & WRITING)
            if changes and isinstance(given[0], str | os.PathLike) and os.path.abspath(given[0]).startswith(within):
                self._count[:] = (self.count + 1).to_bytes(8, "little")
                if self.count == self.last:
                    os.kill(os.getpid(), self.number)

        sys.addaudithook(hook)


def ended(child: int) -> int:
    """Its exit code, or minus the signal."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def disturbed(arguments: Sequence[str], folder: Path, seconds: float | None, files: Watched) -> int:
    """Run a command and send it a signal, after so many seconds if given; its exit code, 0 if it was done before."""
    child = forked(arguments, folder, files)
    if seconds is None:
        return ended(child)
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.002)
    os.kill(child, files.number)
    return ended(child)


class Trial:
    """One job: how long it takes undisturbed, what it leaves, and what disturbances leave."""

    def __init__(self, job: Job, beside: Path, folder: Path, chance: random.Random) -> None:
        self.job, self.beside, self.folder, self.chance = job, beside, folder, chance
        self.happened: Counter[str] = Counter()
        self.older: dict[str, bytes] = {}
        self._clear()
        if job.over is not None:
            self.older, *_ = self._undisturbed(job.over)
        self.result, self.seconds, self.changes = self._undisturbed(job.begin)

    def disturb(self) -> bool:
        """End it once, and look at what is left; begin anew where it was done before (False)."""
        number = self.chance.choice(SIGNALS)
        before = self._half_written()
        at_a_time = self.chance.random() < 0.5
        seconds = self.chance.uniform(0, 1.1 * self.seconds) if at_a_time else None
        files = Watched(0 if at_a_time else self.chance.randint(1, self.changes), number)
        code = disturbed(self._command(), self.folder, seconds, files)
        assert code in (0, -number, CODES.get(number)), f"exit code {code} after {number!r}: {self._said()}"
        self.happened["done before" if code == 0 else signal.Signals(number).name] += 1
        self._look()
        # What SIGKILL left before may be there still, if this one came before the command got to it.
        assert number == signal.SIGKILL or self._half_written() <= before, "a signal left a file half written"
        if code == 0:
            self._compare()
            self._clear()
            if at_a_time:
                self.seconds *= 0.9  # other work on this machine made it seem longer
        return code != 0

    def finish(self) -> None:
        """Let it come to its end; nothing may be left beside the result."""
        code = ended(forked(self._command(), self.folder, Watched()))
        assert code == 0, self._said()
        self._compare()
        hidden = list(self.folder.rglob(".*"))
        assert not hidden, hidden

    def _undisturbed(self, command: Sequence[str]) -> tuple[dict[str, bytes], float, int]:
        """What a command leaves, its seconds, and how often it changes files."""
        files, began = Watched(), time.monotonic()
        code = ended(forked(command, self.folder, files))
        assert code == 0, self._said()
        seconds, result = time.monotonic() - began, self._contents()
        self._clear()
        return result, seconds, files.count

    def _command(self) -> Sequence[str]:
        return self.job.resume if (self.folder / "run" / "recipe.toml").exists() else self.job.begin

    def _half_written(self) -> set[Path]:
        return {*self.folder.rglob(".*.new"), *self.folder.rglob(".*.partial")}

    def _contents(self) -> dict[str, bytes]:
        """Of the results, by name."""
        files = (file for pattern in self.job.results for file in self.folder.glob(pattern))
        return {str(f.relative_to(self.folder)): f.read_bytes() for f in files if not f.name.startswith(".")}

    def _look(self) -> None:
        """Whatever bears a name for good is whole: a checkpoint, a result, the older one, a file of values."""
        for checkpoint in checkpoints(self.folder / "run"):
            assert read_state(checkpoint), checkpoint
        if self.older or any(self.folder.glob(self.job.results[0])):
            found = self._contents().items()
            whole = [each for each in (self.result, self.older) if each and each.items() <= found]
            assert whole, f"neither the old nor the new: {self.job.begin}, {sorted(dict(found))}"
        for file in self.folder.rglob("*"):
            hidden = any(part.startswith(".") for part in file.relative_to(self.folder).parts)
            if file.suffix in PARSERS and not hidden:
                PARSERS[file.suffix](file.read_text())

    def _compare(self) -> None:
        assert self._contents() == self.result, f"other bits: {self.job.begin}"
        for name in self.job.also:
            assert (self.folder / name).is_file(), f"{self.job.begin} left no {name}"

    def _said(self) -> str:
        log = self.folder / "log.txt"
        return log.read_text()[-2000:] if log.exists() else "nothing said"

    def _clear(self) -> None:
        """Begin anew: what commands read, and the older result."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(exist_ok=True)
        for place in self.beside.iterdir():
            (self.folder / place.name).symlink_to(place)
        for name, data in self.older.items():
            (self.folder / name).parent.mkdir(exist_ok=True)
            (self.folder / name).write_bytes(data)


def prepare(beside: Path) -> None:
    """Make what jobs begin from."""
    beside.mkdir()
    for name, teacher in TEACHERS.items():
        assert ended(forked([*teacher.begin[:-1], name], beside, Watched())) == 0, (beside / "log.txt").read_text()
    (beside / "log.txt").unlink()
    filming = get_context("fork").Process(target=film, args=(beside,))
    filming.start()
    filming.join()
    assert filming.exitcode == 0


def film(beside: Path) -> None:
    """What poses are looked for in."""
    write_photographs(beside / PHOTOGRAPHS)
    write_video(beside / VIDEO, [render(pose(k, 9)) for k in range(9)])


def possible(names: Sequence[str]) -> dict[str, Job]:
    """Those jobs that what is installed can do; others are named."""
    found = {}
    for name in names:
        missing = [package for package in jobs()[name].needs if find_spec(package) is None]
        if missing:
            print(f"{name}: left out, not installed: {', '.join(missing)}; scenekit doctor says how to get it")
            continue
        for package in (*jobs()[name].needs, *LOADED):
            import_module(package)
        found[name] = jobs()[name]
    return found


def main() -> None:
    """Try all jobs, or those named."""
    parser = argparse.ArgumentParser(description="Commands ended by signals at random moments, and resumed.")
    parser.add_argument("--kills", type=int, default=100, help="in all")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", nargs="*", default=list(jobs()), choices=list(jobs()))
    options = parser.parse_args()
    if os.environ.get("OMP_NUM_THREADS") != "1":  # a child would wait for threads that a library began in its parent
        command = [sys.executable, "-m", "tests.nightly.crashes", *sys.argv[1:]]
        os.execve(sys.executable, command, {**os.environ, "OMP_NUM_THREADS": "1"})
    torch.set_num_threads(1)
    chance = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as place:
        root = Path(place).resolve()
        prepare(root / "beside")
        chosen = possible(options.jobs)
        trials = {
            name: Trial(job, root / "beside", root / f"{i}", chance) for i, (name, job) in enumerate(chosen.items())
        }
        for index in range(options.kills if trials else 0):
            while not list(trials.values())[index % len(trials)].disturb():
                pass
        for name, trial in trials.items():
            trial.finish()
            print(f"{name}: {trial.seconds:.1f} s undisturbed; {dict(trial.happened)}; same bits", flush=True)


if __name__ == "__main__":
    main()
