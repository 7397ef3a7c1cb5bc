"""``docs/limits.md``: what commands take of main memory, and how work grows, each beside what was promised."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from benchmarks.growth import LIMIT as EXPONENT
from benchmarks.markdown import table
from benchmarks.memory import LIMIT
from benchmarks.record import read
from scenekit.assets.saving import EVERY, LARGEST_SHARE

RESULTS = ("memory", "command_memory", "growth", "checkpoints")
INTRODUCTION = f"""# Limits

Written by `python -m benchmarks.tables` from `benchmarks/results`: `memory.json`, `command_memory.json`,
`growth.json` and `checkpoints.json`, which hold machine, commit and scope of every row.

## Main memory

`scenekit train` and `scenekit convert` say before they begin what they will take of main memory, and refuse what will
not fit; `scenekit info RUN|FILE|CAPTURE --plan` says the same of every command. Promised is {LIMIT:.0%} of the peak of
the process, Python and its libraries included (`python -m benchmarks.memory`, `python -m benchmarks.command_memory`).
The factors were fitted to some of these very runs: they say how well one rule holds over sizes, not how well it
foretells another machine. `scenekit info synthetic --plan` says it of `demo`. An edit is predicted for a scene of which
all stays, before it is written: a format that takes more by itself takes more after an edit too. *Streamed* are edits
that look at one Gaussian at a time, and `--merge`, from `.ply` to `.ply`. `view` is looked at from one browser of
1280x720; `--verify` is that of a `.sog`. GPU memory is what `nvidia-smi` counts, with the driver's part.

Predictions count what a checkpoint copies into main memory. dense_grid-gpu, where that weighs most, is a training of
66 seconds for that reason, with one checkpoint: the other trainings on a GPU end before their first, in 12 seconds.
"""
GROWTH = f"""## Growth

Over three decades of what work is counted in, one thread of a CPU (`python -m benchmarks.growth`): the exponent with
which time and memory grow, over all and in the last decade, where fixed costs weigh least. Linear is an exponent of 1;
promised is {EXPONENT}. *Computing* leaves out the time that the kernel takes to clear pages.
"""
CHECKPOINTS = f"""## Checkpoints

A checkpoint is copied between two steps and written by a thread (`python -m benchmarks.checkpoints`): promised is that
training stands still for less than {LARGEST_SHARE:.0%} of its time. Checkpoints come once in {EVERY:.0f} seconds, and
rarer where copy and writing together would take more than that. Trainings of fox are whole ones on a CPU; a state is
what a larger one keeps, its share that of the time between two checkpoints.
"""


def limits_page() -> str:
    """The whole page."""
    memory = f"{INTRODUCTION}\n{commands()}\n\n{trainings()}"
    return f"{memory}\n\n{GROWTH}\n{growth()}\n\n{CHECKPOINTS}\n{checkpoints()}\n"


def commands() -> str:
    """A row for each command: over how many sizes it was measured, and the predictions farthest off either way."""
    found: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for name, row in read("command_memory")["rows"].items():
        found[name.partition(" ")[2]].append(row)
    return table(
        ("command", "measured on", "peaks", "prediction, from", "to"),
        (
            (
                command,
                f"{len(rows)}",
                _span([row["peak_mib"] for row in rows]),
                f"{min(row['off'] for row in rows):+.1%}",
                f"{max(row['off'] for row in rows):+.1%}",
            )
            for command, rows in sorted(found.items())
        ),
    )


def _span(sizes: list[int]) -> str:
    low, high = min(sizes), max(sizes)
    return f"{low} MiB" if low == high else f"{low} to {high} MiB"


def trainings() -> str:
    """Short trainings of several sizes; those on a GPU have a row for its own memory."""
    rows = [
        (
            f"{name}{of}",
            f"{row[f'{kind}predicted_mib']} MiB",
            f"{row[f'{kind}peak_mib']} MiB",
            f"{row[f'{kind}off']:+.1%}",
        )
        for name, row in read("memory")["rows"].items()
        for kind, of in (("", ""), ("gpu_", ", GPU memory"))
        if f"{kind}off" in row
    ]
    return table(("training, three times", "predicted", "farthest peak", "off"), rows)


def growth() -> str:
    """Exponents by what is counted."""
    head = ("counted", "from", "to", "time", "last decade", "of that, computing", "memory", "last decade")
    return table(
        head,
        (
            (
                name,
                f"{row['points'][0]['size']:,}",
                f"{row['points'][-1]['size']:,}",
                f"{row['exponent']:.2f}",
                f"{row['last_exponent']:.2f}",
                f"{row['last_user_exponent']:.2f}",
                f"{row['memory_exponent']:.2f}",
                f"{row['last_memory_exponent']:.2f}",
            )
            for name, row in read("growth")["rows"].items()
        ),
    )


def checkpoints() -> str:
    """A row for each training and state."""
    return table(
        ("of", "a checkpoint", "training stands still for", "share", "with the CPU time of writing"),
        (
            (
                name,
                f"{row['bytes'] / 2**20:.1f} MiB",
                f"{1000 * row['stalled_seconds']:.1f} ms",
                f"{row['stalled_share']:.3%}",
                f"{row['stalled_and_cpu_share']:.2%}",
            )
            for name, row in read("checkpoints")["rows"].items()
        ),
    )
