"""Holds what ``info --plan`` predicts of commands on Gaussians and runs against the peaks of their processes.

    python -m benchmarks.command_memory [--counts 10000 100000 1000000] [--runs RUN ...] [--only NAME ...]

Files of so many generated Gaussians with harmonics of degree 3 are given to every command that takes one, in a
process of its own; ``--runs`` are rendered and, where their photographs are found, evaluated. ``off`` is the
prediction over the measured peak of resident memory, Python and its libraries included, less one. Results go to
``benchmarks/results/command_memory.json``. The promise is 20 %.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import torch

from benchmarks.memory import LIMIT
from benchmarks.record import call, keep
from scenekit.assets.splats.files import write_splats
from scenekit.representations.gaussian_cloud import GaussianCloud

TABLE = "command_memory"
DEGREE = 3


def peak_bytes(*arguments: str) -> int:
    """Of the resident memory of one scenekit command."""
    command = [sys.executable, "-m", "scenekit", *arguments]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise SystemExit(f"scenekit {' '.join(arguments)}: exit code {process.returncode}")
    return used.ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def generated(count: int) -> GaussianCloud:
    """Gaussians all over a ball of noise."""
    generator = torch.Generator().manual_seed(0)
    return GaussianCloud(
        means=torch.randn(count, 3, generator=generator),
        log_scales=torch.full((count, 3), -5.0),
        quaternions=torch.randn(count, 4, generator=generator),
        opacity_logits=torch.randn(count, generator=generator),
        harmonics=0.2 * torch.randn(count, (DEGREE + 1) ** 2, 3, generator=generator),
    )


def command_of(name: str, source: str, folder: Path) -> list[str]:
    """What ``info --plan`` calls ``name``, as it is typed; a .ply is scaled, or it would go block by block."""
    verb, _, extension = name.partition(" ")
    if verb == "export":
        return [verb, source, str(folder / f"out{extension}"), "--scale", "2"][: 3 if extension == ".html" else 5]
    more = {"render": ["-o", str(folder / "out.png")], "import": ["-o", str(folder / "run")]}
    return [verb, source, *more.get(verb, [])]


def measure(row: str, source: str, scope: str, only: list[str]) -> None:
    """Every command that is planned and ends by itself."""
    for name, predicted in call("info", source, "--plan", "--json").items():
        if name == "view" or (only and name not in only):
            continue
        with tempfile.TemporaryDirectory() as folder:
            peak = peak_bytes(*command_of(name, source, Path(folder)))
        found = {"predicted_mib": round(predicted / 2**20), "peak_mib": round(peak / 2**20),
                 "off": round(predicted / peak - 1, 3), "limit": LIMIT}  # fmt: skip
        keep(TABLE, f"{row} {name}", {**found, "scope": f"{scope}; peak resident memory of the process, cpu"})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--counts", nargs="*", type=int, default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--runs", nargs="*", default=[])
    parser.add_argument("--only", nargs="*", default=[], help="commands, as info --plan names them")
    options = parser.parse_args()
    for run in options.runs:
        measure(Path(run).name, run, "a run", options.only)
    for count in options.counts:
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder) / "gaussians.ply"
            write_splats(source, generated(count))
            measure(f"{count}", str(source), f"{count} Gaussians, harmonics of degree {DEGREE}", options.only)


if __name__ == "__main__":
    main()
