"""End commands by signals at random moments and go on: ``python -m tests.nightly.crashes --kills 100``.

Trainings of several families, a fit, a conversion and exports are ended by SIGKILL (most often), Ctrl-C or SIGTERM
and resumed, until they are done. After every end each checkpoint and each finished file must be whole; the finished
scene must have the bits of one that nothing disturbed. Children are forked from a process that has imported
everything and computed nothing, so that a moment is one of the work, not of the import.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

import scenekit.cli.convert
import scenekit.cli.export
import scenekit.cli.fit
import scenekit.cli.train
from scenekit.assets import saving
from scenekit.assets.run import checkpoints
from scenekit.assets.state import read_state
from scenekit.cli import main as scenekit

GRID = ["--log2-table", "10", "--levels", "4", "--finest", "32", "--networks.width", "16"]
VOLUME = ["--batch-samples", "4096", "--marching.steps", "32", "--marching.grid", "16", "--occupancy-cells", "512"]
SIGNALS = (*[signal.SIGKILL] * 8, signal.SIGINT, signal.SIGTERM)
CODES = {signal.SIGINT: 130, signal.SIGTERM: 143}
TEACHER = "teacher"
ENDED_BY_US = -1


@dataclass(frozen=True)
class Job:
    """A command, how it goes on after it was ended, and the file it leaves."""

    begin: Sequence[str]
    resume: Sequence[str]
    result: str


def training(name: str, *flags: str) -> Job:
    """Of the synthetic capture at 16x16."""
    begin = ["train", "synthetic", "-r", name, "--downscale", "8", *flags, "-o", "run"]
    return Job(begin, ["train", "--resume", "-r", name, "-o", "run"], "run/scene.safetensors")


def jobs() -> dict[str, Job]:
    """By name."""
    convert = ["convert", TEACHER, "--to", "gaussians", "--steps", "12", "--max-count", "40", "-o", "run"]
    fit = ["fit", "synthetic-volume", "-r", "hash_grid", *GRID, "--batch-points", "512", "--steps", "20", "-o", "run"]
    exports = {f"export {name}": ["export", TEACHER, name] for name in ("splats.ply", "page.html")}
    return {
        "hash_grid": training("hash_grid", *GRID, *VOLUME, "--steps", "40"),
        "gaussians": training("gaussians", "--steps", "40", "--max-count", "60"),
        "dense_grid": training("dense_grid", "--coarsest", "4", "--resolution", "8", *VOLUME, "--steps", "40"),
        "fit": Job(fit, ["fit", "--resume", "-o", "run"], "run/scene.safetensors"),
        "convert": Job(convert, ["convert", "--resume", "-o", "run"], "run/scene.safetensors"),
        **{name: Job(command, command, command[-1]) for name, command in exports.items()},
    }


def forked(arguments: Sequence[str], folder: Path) -> int:
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
        code = scenekit(arguments)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    return code


def ended(child: int) -> int:
    """Its exit code, or minus the signal."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def disturbed(arguments: Sequence[str], folder: Path, seconds: float, number: signal.Signals) -> int:
    """Run a command and send it a signal after so many seconds; its exit code, which is 0 if it was done before."""
    child = forked(arguments, folder)
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.002)
    os.kill(child, number)
    return ended(child)


class Trial:
    """One job: how long it takes undisturbed, what it leaves, and what disturbances leave."""

    def __init__(self, job: Job, teacher: Path, folder: Path, chance: random.Random) -> None:
        self.job, self.teacher, self.folder, self.chance = job, teacher, folder, chance
        self.happened: Counter[str] = Counter()
        self._clear()
        began = time.monotonic()
        code = ended(forked(job.begin, folder))
        assert code == 0, self._said()
        self.seconds = time.monotonic() - began
        self.result = (folder / job.result).read_bytes()
        self._clear()

    def disturb(self) -> bool:
        """End it once, and look at what is left; begin anew where it was done before (False)."""
        number = self.chance.choice(SIGNALS)
        before = self._half_written()
        code = disturbed(self._command(), self.folder, self.chance.uniform(0, 1.1 * self.seconds), number)
        assert code in (0, -number, CODES.get(number)), f"exit code {code} after {number!r}: {self._said()}"
        self.happened["done before" if code == 0 else signal.Signals(number).name] += 1
        self._look()
        # What SIGKILL left before may be there still, if this one came before the command got to it.
        assert number == signal.SIGKILL or self._half_written() <= before, "a signal left a file half written"
        if code == 0:
            self._compare()
            self._clear()
            self.seconds *= 0.9  # other work on this machine made it seem longer
        return code != 0

    def finish(self) -> None:
        """Let it come to its end; nothing may be left beside the result."""
        code = ended(forked(self._command(), self.folder))
        assert code == 0, self._said()
        self._compare()
        hidden = [path for path in self.folder.rglob(".*") if not path.name.startswith(".~")]
        assert not hidden, hidden

    def _command(self) -> Sequence[str]:
        return self.job.resume if (self.folder / "run" / "recipe.toml").exists() else self.job.begin

    def _half_written(self) -> set[Path]:
        return set(self.folder.rglob(".*.new"))

    def _look(self) -> None:
        for checkpoint in checkpoints(self.folder / "run"):
            assert read_state(checkpoint), checkpoint
        if (self.folder / self.job.result).exists():
            self._compare()

    def _compare(self) -> None:
        assert (self.folder / self.job.result).read_bytes() == self.result, f"other bits: {self.job.begin}"

    def _said(self) -> str:
        log = self.folder / "log.txt"
        return log.read_text()[-2000:] if log.exists() else "nothing said"

    def _clear(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir()
        (self.folder / TEACHER).symlink_to(self.teacher)


def main() -> None:
    """Try all jobs, or those named."""
    parser = argparse.ArgumentParser(description="Commands ended by signals at random moments, and resumed.")
    parser.add_argument("--kills", type=int, default=100, help="in all")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", nargs="*", default=list(jobs()), choices=list(jobs()))
    options = parser.parse_args()
    torch.set_num_threads(1)
    chance = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        teacher = training("gaussians", "--steps", "20", "--max-count", "60")
        assert ended(forked(teacher.begin, root)) == 0, (root / "log.txt").read_text()
        trials = {name: Trial(jobs()[name], root / "run", root / f"{i}", chance) for i, name in enumerate(options.jobs)}
        for index in range(options.kills):
            while not list(trials.values())[index % len(trials)].disturb():
                pass
        for name, trial in trials.items():
            trial.finish()
            print(f"{name}: {trial.seconds:.1f} s undisturbed; {dict(trial.happened)}; same bits", flush=True)


if __name__ == "__main__":
    main()
