"""The matrix of conversions: rows are teachers, columns students; each cell says what distillation lost and won.

    python -m benchmarks.conversion [SUBJECT ...] [--gpus N] [--minutes M] [--plan | --table | --join FILE] [-o FOLDER]

A SUBJECT is ``CAPTURE[:KIND,KIND,...][@PRESET]``, such as ``lego`` or ``room:hash_grid,gaussians@none``. A teacher of
each kind is trained (30 s) and kept in half precision, in files of at most 16 MiB; each kind is trained from scratch
for as long as a cell may take (20 s); then every ordered pair is converted without photographs for the same time,
preparation included. Of the first subject there are also chains of conversions, conversions without active learning,
and the MLP from scratch for as long as its teacher and its conversion take together. All are judged on held-out
photographs.

FOLDER keeps ``conversion.json``, written anew after each task, and the teachers. What stands there is not done again,
so that several calls, or several processes, fill one matrix: each takes the next task that nobody is at. ``--gpus``
starts a process for each GPU; ``--minutes`` begins nothing that would end later; what is left out is what matters
least, and ``--plan`` says what that is. ``--join`` takes in what other machines found. Captures are looked for in
``SCENEKIT_DATA``.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import time
import traceback
from collections.abc import Mapping
from pathlib import Path

from benchmarks import record
from benchmarks.conversion import table, work
from benchmarks.conversion.records import Records
from benchmarks.conversion.tasks import VIEWS, Subject, Task, chosen, planned, ready, tasks_of
from scenekit.assets.atomic import replacing

PAUSE = 0.5  # seconds until it is looked again whether a teacher is there


def main(arguments: list[str]) -> None:
    options = parsed(arguments)
    subjects = [Subject.of(text, options.preset) for text in options.subjects or ["lego"]]
    pairs = {tuple(pair.split(":")) for pair in options.pairs}
    tasks = chosen(tasks_of(subjects, options.seconds, options.teacher_seconds), options.rows, pairs)
    if options.teachers_only:
        tasks = [task for task in tasks if task.work == "teacher"]
    setting = work.Setting(options.output, options.device, options.downscale, options.views)
    records = Records(options.output)
    for file in options.join:
        records.join(json.loads(file.read_text())["rows"])
    if options.again:
        records.forget_refused()
    if options.table or options.join:
        print(table.tables(records.rows().values()))
        return
    alike(tasks, setting, records)
    if options.plan:
        print(plan(tasks, standing(tasks, setting, records), options))
    elif options.gpus:
        well = launch(arguments, options)
        print(table.tables(records.rows().values()))
        _end(records, well=well, keep=options.keep)
    else:
        until = options.until or time.time() + 60 * options.minutes
        _end(records, well=done_all(tasks, setting, records, until), keep=options.keep)


def _end(records: Records, *, well: bool, keep: bool) -> None:
    """Whatever was found is published where that is wanted; the exit code says whether all went well."""
    if keep:
        with replacing(record.FOLDER / "conversion.json") as file:
            file.write_text(json.dumps({"rows": records.rows()}, indent=1) + "\n")
    sys.exit(not well)


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
    parser.add_argument("--minutes", type=float, default=math.inf, help="from now; tasks that would end later are left")
    parser.add_argument("--until", type=float, default=0.0, help=argparse.SUPPRESS)
    parser.add_argument("--plan", action="store_true", help="say what would be done, when, and what not")
    parser.add_argument("--table", action="store_true", help="print what has been found")
    parser.add_argument("--join", type=Path, nargs="+", default=[], help="conversion.json of other machines")
    parser.add_argument("--again", action=argparse.BooleanOptionalAction, help="try once more what was refused")
    parser.add_argument("--keep", action=argparse.BooleanOptionalAction, help="put what was found into the results")
    parser.add_argument("-o", "--output", type=Path, default=Path("runs/conversion"))
    return parser.parse_args(arguments)


def launch(arguments: list[str], options: argparse.Namespace) -> bool:
    """One process a GPU, each with the same arguments; ends with them. Whether none failed."""
    until = time.time() + 60 * options.minutes
    own = ["--gpus", "0", "--no-again", "--no-keep", "--until", str(until)]
    command = [sys.executable, "-m", "benchmarks.conversion", *arguments, *own]
    processes = [
        subprocess.Popen(command, env=os.environ | {"CUDA_VISIBLE_DEVICES": str(gpu)}) for gpu in range(options.gpus)
    ]
    codes = [process.wait() for process in processes]
    return not any(codes)


def alike(tasks: list[Task], setting: work.Setting, records: Records) -> None:
    """Leave with a sentence where rows were found with other options than these."""
    rows = records.rows()
    for task in tasks:
        found, wanted = rows.get(task.name, {}).get("scope"), setting.scope(task)
        if found not in (None, wanted):
            sys.exit(f"{records.file}: wanted rows of '{wanted}', found '{found}'; choose another folder with -o")


def standing(tasks: list[Task], setting: work.Setting, records: Records) -> dict[str, bool]:
    """What need not be done, and whether it went well; a teacher that is wanted must be there, not its row alone."""
    found = records.went_well()
    wanted = [task.teacher for task in tasks if task.teacher is not None and task.name not in found]
    lost = {teacher.name for teacher in wanted if found.get(teacher.name) and not setting.has(teacher)}
    return {name: well for name, well in found.items() if name not in lost}


def done_all(tasks: list[Task], setting: work.Setting, records: Records, until: float) -> bool:
    """Do what is ready and nobody is at, until all is done or time is up; whether nothing failed."""
    failed: dict[str, bool] = {}
    while True:
        done, busy = standing(tasks, setting, records) | failed, False
        for task in ready(tasks, done, until - time.time(), setting.views or VIEWS):
            with records.claim(task.name) as mine:
                busy = busy or not mine
                if mine:
                    if task.name not in standing(tasks, setting, records) and not _did(task, setting, records):
                        failed[task.name] = False
                    break
        else:
            if not busy:
                return not failed
            time.sleep(PAUSE)


def _did(task: Task, setting: work.Setting, records: Records) -> bool:
    """Whether there is a row now."""
    try:
        row = work.carried_out(task, setting)
    except Exception:  # the others go on
        print(f"{task.name}: failed\n{traceback.format_exc()}", file=sys.stderr, flush=True)
        return False
    records.add(row)
    print(table.line(row), flush=True)
    return True


def plan(tasks: list[Task], done: Mapping[str, bool], options: argparse.Namespace) -> str:
    """What so many GPUs do when, and what they leave out."""
    gpus, views = max(1, options.gpus), options.views or VIEWS
    made = planned(tasks, done, gpus, 60 * options.minutes, views)
    doing = {each.task.name for each in made}
    left = [task for task in tasks if task.name not in doing and task.name not in done]
    lines = [f"{each.begun:6.0f} to {each.ended:6.0f} s, GPU {each.gpu}: {each.task.name}" for each in made]
    total = sum(task.predicted(views) for task in left)
    lines.append(f"{len(made)} tasks on {gpus} GPUs; {len(done)} done before; left out: {len(left)}, {total:.0f} s")
    return "\n".join([*lines, *(f"  left out, {task.predicted(views):.0f} s: {task.name}" for task in left)])


if __name__ == "__main__":
    main(sys.argv[1:])
