"""The matrix of conversions: rows are teachers, columns students; each cell says what distillation lost and won.

    python -m benchmarks.conversion [SUBJECT ...] [--gpus N] [--budget S] [--plan | --table] [-o FOLDER]

A SUBJECT is ``CAPTURE[:KIND,KIND,...][@PRESET]``, such as ``lego`` or ``room:hash_grid,gaussians@none``. A teacher of
each kind is trained (30 s) and kept in half precision, in files of at most 16 MiB; each kind is trained from scratch
for as long as a cell may take (20 s); then every ordered pair is converted without photographs for the same time,
preparation included. Of the first subject there are also a chain of conversions, conversions without active learning,
and the MLP from scratch for as long as its teacher and its conversion take together. All are judged on held-out
photographs.

Records are lines of JSON in files of FOLDER, one file a process; files that are joined (``cat``) are as good. What
stands there is not done again, so that several calls, or several processes, fill one matrix: each takes the next task
that nobody is at. ``--gpus`` starts a process for each GPU; ``--budget`` begins nothing that would end later; what is
left out is what matters least, and ``--plan`` says what that is. Captures are looked for in ``SCENEKIT_DATA``.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import re
import subprocess
import sys
import time
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.conversion import table, work
from benchmarks.conversion.tasks import VIEWS, Subject, Task, chosen, planned, ready, tasks_of

PAUSE = 0.5  # seconds until it is looked again whether a teacher is there


def main(arguments: list[str]) -> None:
    options = parsed(arguments)
    subjects = [Subject.of(text, options.preset) for text in options.subjects or ["lego"]]
    pairs = {tuple(pair.split(":")) for pair in options.pairs}
    tasks = chosen(tasks_of(subjects, options.seconds, options.teacher_seconds), options.rows, pairs)
    if options.teachers_only:
        tasks = [task for task in tasks if task.work == "teacher"]
    if options.again:
        forget(options.output)
    if options.table:
        print(table.tables(read(options.output).values()))
    elif options.plan:
        print(plan(tasks, went_well(options.output), options))
    elif options.gpus:
        launch(arguments, options)
        print(table.tables(read(options.output).values()))
    else:
        setting = work.Setting(options.output, options.device, options.downscale, options.views)
        if not done_all(tasks, setting, options.until or time.time() + options.budget):
            sys.exit(1)


def parsed(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("subjects", nargs="*", metavar="SUBJECT", help="lego where none is named")
    parser.add_argument("--preset", default="gpu", help="of subjects that name none")
    parser.add_argument("--downscale", type=float, default=1.0)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--seconds", type=float, default=20.0, help="of a conversion, and of training from scratch")
    parser.add_argument("--teacher-seconds", type=float, default=30.0)
    parser.add_argument("--views", type=int, default=0, help="held-out photographs to judge; all where not given")
    parser.add_argument("--rows", type=lambda text: text.split(","), default=[], help="teachers, by commas")
    parser.add_argument("--pairs", type=lambda text: text.split(","), default=[], help="TEACHER:STUDENT, by commas")
    parser.add_argument("--teachers-only", action="store_true")
    parser.add_argument("--gpus", type=int, default=0, help="start a process for each")
    parser.add_argument("--budget", type=float, default=1e9, help="seconds from now")
    parser.add_argument("--until", type=float, default=0.0, help=argparse.SUPPRESS)
    parser.add_argument("--plan", action="store_true", help="say what would be done, when, and what not")
    parser.add_argument("--table", action="store_true", help="print what has been found")
    parser.add_argument("--again", action=argparse.BooleanOptionalAction, help="forget what was refused")
    parser.add_argument("-o", "--output", type=Path, default=Path("runs/conversion"))
    return parser.parse_args(arguments)


def launch(arguments: list[str], options: argparse.Namespace) -> None:
    """One process a GPU, each with the same arguments; ends with them."""
    until = time.time() + options.budget
    inside = [
        sys.executable,
        "-m",
        "benchmarks.conversion",
        *arguments,
        "--gpus",
        "0",
        "--no-again",
        "--until",
        str(until),
    ]
    processes = []
    for gpu in range(options.gpus):
        environment = os.environ | {"CUDA_VISIBLE_DEVICES": str(gpu)}
        processes.append(subprocess.Popen(inside, env=environment))
    for process in processes:
        process.wait()


def done_all(tasks: list[Task], setting: work.Setting, until: float) -> bool:
    """Do what is ready and nobody is at, until all is done or time is up; whether nothing failed."""
    failed: dict[str, bool] = {}
    while True:
        done = went_well(setting.output) | failed
        views, busy = setting.views or VIEWS, False
        for task in ready(tasks, done, until - time.time(), views):
            with claim(task, setting.output) as mine:
                busy = busy or not mine
                if mine:
                    if task.name not in read(setting.output) and not _did(task, setting):
                        failed[task.name] = False
                    break
        else:
            if not busy:
                return not failed
            time.sleep(PAUSE)


def _did(task: Task, setting: work.Setting) -> bool:
    """Whether there is a record now."""
    try:
        figures = work.carried_out(task, setting)
    except Exception:  # the others go on
        print(f"{task.name}: failed\n{traceback.format_exc()}", file=sys.stderr, flush=True)
        return False
    write(setting.output, figures)
    print(table.line(figures), flush=True)
    return True


@contextmanager
def claim(task: Task, output: Path) -> Iterator[bool]:
    """Whether no other process is at the task; the system lets go of it however this one ends."""
    folder = output / "claims"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / re.sub(r"\W+", "-", task.name)).open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True


def write(output: Path, figures: Mapping[str, Any]) -> None:
    """A line of this process's own file."""
    output.mkdir(parents=True, exist_ok=True)
    with (output / f"{os.getpid()}.jsonl").open("a") as file:
        file.write(json.dumps(figures) + "\n")


def read(output: Path) -> dict[str, dict[str, Any]]:
    """Records of all files by task; a line that is being written is none yet."""
    found = {}
    for file in sorted(output.glob("*.jsonl")):
        for text in file.read_text().splitlines(keepends=True):
            if text.endswith("\n"):
                record = json.loads(text)
                found[record["task"]] = record
    return found


def went_well(output: Path) -> dict[str, bool]:
    """Of each task that has a record, whether it was not refused."""
    return {name: "refused" not in figures for name, figures in read(output).items()}


def forget(output: Path) -> None:
    """Remove the records of what was refused."""
    for file in output.glob("*.jsonl"):
        kept = [text for text in file.read_text().splitlines(keepends=True) if "refused" not in json.loads(text)]
        file.write_text("".join(kept))


def plan(tasks: list[Task], done: Mapping[str, bool], options: argparse.Namespace) -> str:
    """What so many GPUs do when, and what they leave out."""
    gpus, views = max(1, options.gpus), options.views or VIEWS
    made = planned(tasks, done, gpus, options.budget, views)
    doing = {each.task.name for each in made}
    left = [task for task in tasks if task.name not in doing and task.name not in done]
    lines = [f"{each.begun:6.0f} to {each.ended:6.0f} s, GPU {each.gpu}: {each.task.name}" for each in made]
    total = sum(task.predicted(views) for task in left)
    lines.append(f"{len(made)} tasks on {gpus} GPUs; {len(done)} done before; left out: {len(left)}, {total:.0f} s")
    return "\n".join([*lines, *(f"  left out, {task.predicted(views):.0f} s: {task.name}" for task in left)])


if __name__ == "__main__":
    main(sys.argv[1:])
