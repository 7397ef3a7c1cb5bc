"""Holds what ``info --plan`` and ``convert`` predict of main memory against the peaks of their processes.

    python -m benchmarks.command_memory [--counts 10000 100000 1000000] [--paths RUN|SIGNAL|PHOTOGRAPHS ...]

Files of so many generated Gaussians with harmonics of degree 3 are given to every command that takes one, in a process
of its own, but not to those that look for surfaces: there are none. Runs are given to all, signals are fitted,
photographs are given poses. Conversions are short ones of a few representations, with options that two cores can take,
and predict for themselves. ``off`` is the prediction over the measured peak of resident memory, Python and its
libraries included, less one. Results go to ``benchmarks/results/command_memory.json``. The promise is 20 %.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch

from benchmarks.memory import LIMIT
from benchmarks.record import call, keep
from scenekit.assets.run import RECIPE, read_recipe
from scenekit.assets.splats.files import write_splats
from scenekit.representations.gaussian_cloud import GaussianCloud

TABLE = "command_memory"
DEGREE = 3
SURFACES = ("export mesh", "export points")
BAKING = ("--bake.steps", "20")
CONVERSIONS = {
    "gaussians": ("--steps", "150", "--max-count", "20000"),
    "hash_grid": ("--steps", "60", "--log2-table", "16", "--batch-samples", "65536"),
}


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
    verb, _, kind = name.partition(" ")
    if kind in ("mesh", "points"):
        return [verb, source, str(folder / ("out.glb" if kind == "mesh" else "out.ply")), "--as", kind]
    if kind == ".html":
        return [verb, source, str(folder / "out.html"), *(BAKING if is_field(source) else ())]
    if verb == "export":
        return [verb, source, str(folder / f"out{kind}"), "--scale", "2"]
    run = ["-o", str(folder / "run")]
    more = {"render": ["-o", str(folder / "out.png")], "import": run, "fit": ["--steps", "20", *run], "process": run}
    return [verb, source, *more.get(verb, [])]


def is_field(source: str) -> bool:
    """Whether a path is a run of something else than Gaussians."""
    return is_run(source) and read_recipe(Path(source))["representation"]["name"] != "gaussians"


def is_run(source: str) -> bool:
    """Whether a path is a run."""
    return (Path(source) / RECIPE).exists()


def measure(row: str, source: str, scope: str, wanted: Callable[[str], bool]) -> None:
    """Every command that is planned and ends by itself."""
    for name, predicted in call("info", source, "--plan", "--json").items():
        if name == "view" or name.startswith("convert") or not wanted(name):
            continue
        with tempfile.TemporaryDirectory() as folder:
            peak = peak_bytes(*command_of(name, source, Path(folder)))
        publish(f"{row} {name}", predicted, peak, scope)


def convert(row: str, run: str, scope: str) -> None:
    """Conversions that are predicted by themselves."""
    for name, options in CONVERSIONS.items():
        with tempfile.TemporaryDirectory() as folder:
            figures = call("convert", run, "--to", name, *options, "-o", str(Path(folder) / "run"), "--json")
        predicted, peak = (figures["training"][f"{word}_memory_bytes"] for word in ("predicted", "peak"))
        publish(f"{row} convert --to {name}", predicted, peak, f"{scope}, {' '.join(options)}")


def publish(row: str, predicted: int, peak: int, scope: str) -> None:
    """Keep a prediction beside what was found."""
    found = {"predicted_mib": round(predicted / 2**20), "peak_mib": round(peak / 2**20),
             "off": round(predicted / peak - 1, 3), "limit": LIMIT}  # fmt: skip
    keep(TABLE, row, {**found, "scope": f"{scope}; peak resident memory of the process, cpu"})


def scope_of(source: str) -> str:
    """What a path is, for people."""
    if not is_run(source):
        return Path(source).name
    recipe = read_recipe(Path(source))
    capture = recipe["capture"]
    return f"{recipe['representation']['name']} of {Path(capture['path']).name}, downscale {capture['downscale']:g}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--counts", nargs="*", type=int, default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--paths", nargs="*", default=[], help="runs, signals, folders of photographs")
    parser.add_argument("--only", nargs="*", default=[], help="commands, as info --plan names them")
    options = parser.parse_args()

    def wanted(name: str) -> bool:
        return not options.only or name in options.only or name.partition(" ")[0] in options.only

    for path in options.paths:
        measure(Path(path).name, path, scope_of(path), wanted)
        if is_run(path) and wanted("convert"):
            convert(Path(path).name, path, scope_of(path))
    for count in options.counts:
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder) / "gaussians.ply"
            write_splats(source, generated(count))
            scope = f"{count} Gaussians, harmonics of degree {DEGREE}"
            measure(f"{count}", str(source), scope, lambda name: wanted(name) and name not in SURFACES)


if __name__ == "__main__":
    main()
