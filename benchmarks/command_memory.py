"""Holds what ``info --plan`` and ``convert`` predict of main memory against the peaks of their processes.

    python -m benchmarks.command_memory [--counts 10000 100000 1000000] [--paths RUN|SIGNAL|PHOTOGRAPHS ...]

Files of so many generated Gaussians with harmonics of degree 3 are given to every command that takes one, in a process
of its own, but not to those that look for surfaces: there are none. Runs are given to all, signals are fitted,
photographs are given poses, ``demo`` is run as it is; ``view`` is looked at with headless Chromium. Conversions are
short ones of a few representations, with options that two cores can take, and predict for themselves.Edits leave all
or nearly all where it is, and write a ``.splat``, ``export streamed`` apart, which goes from ``.ply`` to ``.ply``; a
``.sog`` is verified. ``off`` is the prediction over the measured peak of resident memory, Python and its libraries
included, less one. Results go to ``benchmarks/results/command_memory.json``. The promise is 20 %.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch

from benchmarks.live import Browsers
from benchmarks.memory import LIMIT
from benchmarks.record import call, keep
from scenekit.assets.run import RECIPE, read_recipe
from scenekit.assets.splats.files import write_splats
from scenekit.cli.demo import CAPTURE
from scenekit.recipes.plans import EDITED, WINDOW
from scenekit.representations.gaussian_cloud import GaussianCloud, floats_of

TABLE = "command_memory"
DEGREE = 3
SURFACES = ("export mesh", "export points")
ALL = "-1e9,-1e9,-1e9,1e9,1e9,1e9"
EDITS: dict[str, tuple[str, ...]] = {
    "--crop": ("--crop", f"box:{ALL}"),
    "--translate": ("--translate", "1,0,0"),
    "--rotate": ("--rotate", "x,30"),
    "--resize": ("--resize", "3"),
    "--prune": ("--prune", "opacity:0"),
    "--degree": ("--degree", "3"),
}
LOSS = "6"  # dB: harmonics of noise are lost by every palette
MOVES = 40  # of a pointer in a browser that looks at what ``view`` shows
BAKING = ("--bake.steps", "20")
CONVERSIONS = {
    "gaussians": ("--steps", "150", "--max-count", "20000"),
    "hash_grid": ("--steps", "60", "--log2-table", "16", "--batch-samples", "65536"),
}


# Starts a command and prints its number, then its exit code and the peak of its resident memory. What is counted begins
# with what the process held that started it, so that one has to be small.
SMALL = """
import os, sys
command = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ)
print(command, flush=True)
_, status, used = os.wait4(command, 0)
print("", os.waitstatus_to_exitcode(status), used.ru_maxrss, sep="\\n")
"""


def peak_bytes(*arguments: str, until: Callable[[str], None] | None = None) -> int:
    """Of the resident memory of one scenekit command; one that serves is interrupted once ``until`` has its address."""
    command = [sys.executable, "-S", "-c", SMALL, sys.executable, "-m", "scenekit", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        number = int(process.stdout.readline())
        if until is not None:
            try:
                until(process.stdout.readline().split()[-1])
            finally:
                os.kill(number, signal.SIGINT)
        code, peak = map(int, process.stdout.read().splitlines()[-2:])
    if code != 0:
        raise SystemExit(f"scenekit {' '.join(arguments)}: exit code {code}")
    return peak * (1 if sys.platform == "darwin" else 1024)


def looked_around(address: str) -> None:
    """One page in which a pointer drags the scene about."""
    width, height = WINDOW
    with Browsers(address, WINDOW, 1) as browsers:
        (page,) = browsers.pages
        page.mouse.move(width * 0.3, height * 0.6)
        page.mouse.down()
        for move in range(MOVES):
            page.mouse.move(width * (0.3 + 0.4 * move / MOVES), height * 0.6)
            page.wait_for_timeout(100)
        page.mouse.up()
        page.wait_for_timeout(2000)


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
    if kind == "streamed":
        return [verb, source, *EDITS["--crop"], str(folder / "out.ply")]
    if kind in EDITED:
        return [verb, source, *edit(kind, source), str(folder / "out.splat")]
    if kind == "--verify":
        return [verb, source, str(folder / "out.sog"), "--verify"]
    if kind.startswith("--allow-loss"):
        return [verb, source, str(folder / f"out{kind.split()[1]}"), "--allow-loss", LOSS]
    if kind in ("mesh", "points"):
        return [verb, source, str(folder / ("out.glb" if kind == "mesh" else "out.ply")), "--as", kind]
    if kind == ".html":
        return [verb, source, str(folder / "out.html"), *(BAKING if is_field(source) else ())]
    if verb == "export":
        return [verb, source, str(folder / f"out{kind}"), "--scale", "2"]
    run = ["-o", str(folder / "run")]
    more = {"render": ["-o", str(folder / "out.png")], "import": run, "fit": ["--steps", "20", *run], "process": run}
    return [verb, source, *more.get(verb, [])]


def edit(verb: str, source: str) -> tuple[str, ...]:
    """One that keeps all or nearly all."""
    if verb == "--budget":
        facts = call("info", source, "--json")
        count = facts["parameters"] // floats_of(1, DEGREE) if is_run(source) else facts["gaussians"]
        return verb, str(max(1, count * 9 // 10))
    return (verb, source) if verb == "--merge" else EDITS[verb]


def is_field(source: str) -> bool:
    """Whether a path is a run of something else than Gaussians."""
    return is_run(source) and read_recipe(Path(source))["representation"]["name"] != "gaussians"


def is_run(source: str) -> bool:
    """Whether a path is a run."""
    return (Path(source) / RECIPE).exists()


def measure(row: str, source: str, scope: str, wanted: Callable[[str], bool]) -> None:
    """Every command that is planned."""
    for name, predicted in call("info", source, "--plan", "--json").items():
        if name.startswith("convert") or not wanted(name):
            continue
        if name == "export --merge" and is_run(source):  # a run is merged with files alone
            continue
        with tempfile.TemporaryDirectory() as folder:
            until = looked_around if name == "view" else None
            peak = peak_bytes(*command_of(name, source, Path(folder)), until=until)
        publish(f"{row} {name}", predicted, peak, scope)


def convert(row: str, run: str, scope: str) -> None:
    """Conversions that are predicted by themselves."""
    for name, options in CONVERSIONS.items():
        with tempfile.TemporaryDirectory() as folder:
            figures = call("convert", run, "--to", name, *options, "-o", str(Path(folder) / "run"), "--json")
        predicted, peak = (figures["training"][f"{word}_memory_bytes"] for word in ("predicted", "peak"))
        publish(f"{row} convert --to {name}", predicted, peak, f"{scope}, {' '.join(options)}")


def demo() -> None:
    """The command that is given nothing."""
    with tempfile.TemporaryDirectory() as folder:
        peak = peak_bytes("demo", "-o", str(Path(folder) / "demo"))
    publish("embedded demo", call("info", CAPTURE, "--plan", "--json")["demo"], peak, "the embedded capture")


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

    if wanted("demo"):
        demo()
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
