"""Runs every table that README and the results page publish once more, each figure printed beside what stood there.

    SCENEKIT_DATA=/folder/of/captures python -m benchmarks [NAME ...]

NAME is a results file: training, rasterizer, conversion (which want a GPU), live, viewer, baking, cpu_training,
corrections, results_page, memory, command_memory, growth, checkpoints, registration, lenses or
many_photographs; all that this machine can run where none is given. Afterwards the pages are written anew, so that
``git diff`` is what has changed.
"""

from __future__ import annotations

import subprocess
import sys

import torch

from benchmarks import tables

COMMANDS: dict[str, tuple[str, ...]] = {
    "training": ("benchmarks.training",),
    "rasterizer": ("benchmarks.rasterizer", "--device", "cuda", "--keep"),
    "conversion": ("benchmarks.conversion", "lego", "--keep"),
    "live": ("benchmarks.live",),
    "viewer": ("benchmarks.viewer",),
    "baking": ("benchmarks.baking",),
    "cpu_training": ("benchmarks.cpu_training",),
    "corrections": ("benchmarks.corrections",),
    "results_page": ("benchmarks.results_page", "--again"),
    "memory": ("benchmarks.memory",),
    "command_memory": ("benchmarks.command_memory",),
    "growth": ("benchmarks.growth",),
    "checkpoints": ("benchmarks.checkpoints",),
    "registration": ("benchmarks.registration",),
    "lenses": ("benchmarks.lenses",),
    "many_photographs": ("benchmarks.many_photographs",),
}
WANTS_GPU = {"training", "rasterizer", "conversion"}


def chosen(wanted: list[str], *, with_gpu: bool) -> list[str]:
    """What to run; leaves with a sentence where a name is none, or what it wants is not there."""
    unknown = [name for name in wanted if name not in COMMANDS]
    if unknown:
        sys.exit(f"benchmarks: wanted {', '.join(COMMANDS)}, found {', '.join(unknown)}")
    without = [name for name in wanted if name in WANTS_GPU and not with_gpu]
    if without:
        sys.exit(f"benchmarks: wanted a GPU for {', '.join(without)}, found none")
    left = [name for name in COMMANDS if name in WANTS_GPU and not with_gpu]
    if left and not wanted:
        print(f"not run, for want of a GPU: {', '.join(left)}", file=sys.stderr)
    return wanted or [name for name in COMMANDS if name not in left]


def main(wanted: list[str]) -> None:
    for name in chosen(wanted, with_gpu=torch.cuda.is_available()):
        subprocess.run([sys.executable, "-m", *COMMANDS[name]], check=True)
    tables.main([])


if __name__ == "__main__":
    main(sys.argv[1:])
