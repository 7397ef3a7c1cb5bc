"""Times grids on a GPU, and ways through their backward pass: ``python -m benchmarks.grid_variants [--output FILE]``.

Kernels alone: calls stand in line behind a wait of the GPU, each figure is the mean of 20 in milliseconds by CUDA
events. The backward pass takes a gradient that stands as the features do, and includes zeros for its result. Everything
is compared with the reference first; ``--check`` stops there.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.kernels import N, points
from scenekit.kernels import OPS, GridLayout, simplex_layout
from scenekit.kernels.gpu import compile as compiling
from scenekit.kernels.gpu import grids
from scenekit.kernels.gpu.grids import Tuning

REPETITIONS = 20
TUNINGS = tuple(Tuning(walk, at_once) for walk in (8, 16) for at_once in (1, 2, 4))


@dataclass(frozen=True)
class Case:
    """One grid and its points."""

    op: str
    kind: str
    levels: int
    features: int
    dtype: torch.dtype
    positions: Tensor
    table: Tensor
    layout: grids.Layout

    @property
    def name(self) -> str:
        """For a line of the table."""
        return f"{self.op} {self.kind} L{self.levels} F{self.features} {str(self.dtype).removeprefix('torch.')}"


def cases(share: int, device: torch.device) -> Iterator[Case]:
    """The published shapes."""
    shapes = [
        ("hash_grid", 16, 2, torch.float32),
        ("hash_grid", 16, 2, torch.float16),
        ("hash_grid", 8, 4, torch.float32),
        ("simplex_grid", 16, 2, torch.float32),
    ]
    for kind in ("random", "surface", "rays"):
        positions = points(kind, N // share, device)
        for op, levels, features, dtype in shapes:
            layout_of = simplex_layout if op == "simplex_grid" else GridLayout.of
            growth = 128 ** (1 / (levels - 1))
            layout = layout_of(3, levels=levels, log2_table=19, base_resolution=16, growth=growth)
            table = torch.randn(layout.rows, features, device=device).to(dtype)
            shape = (layout.scales, layout.resolutions, layout.offsets)
            yield Case(op, kind, levels, features, dtype, positions, table, shape)


def queued(body: Callable[[], object]) -> float:
    """Mean milliseconds of calls that wait in line, so that the host's share does not count."""
    for _ in range(3):
        body()
    start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    torch.cuda._sleep(100_000_000)
    start.record()
    for _ in range(REPETITIONS):
        body()
    end.record()
    end.synchronize()
    return start.elapsed_time(end) / REPETITIONS


def difference(found: Tensor, wanted: Tensor) -> float:
    """The largest, as a fraction of the largest that was wanted."""
    return float((found.float() - wanted.float()).abs().max() / wanted.float().abs().max())


def measure(case: Case, device: torch.device, check: bool) -> Iterator[dict[str, Any]]:
    """A row for the forward pass and one for every way through the backward pass."""
    inputs = (case.positions, case.table, case.layout)
    wanted = OPS[case.op].reference(case.positions, case.table, *case.layout)
    gradient = torch.randn(wanted.shape[::-1], device=device).to(case.dtype).t()
    backward = OPS[f"{case.op}_backward"].reference
    wanted_gradient = backward(gradient, case.positions, case.table, *case.layout, [False, True])[1]
    passes: list[tuple[dict[str, Any], Callable[[], Tensor], Tensor]] = [
        ({"pass": "forward"}, partial(grids.forward, case.op, *inputs), wanted)
    ]
    for tuning in TUNINGS:
        run = partial(grids.for_table, case.op, gradient, *inputs, tuning)
        passes.append(({"pass": "backward", **asdict(tuning)}, run, wanted_gradient))
    for what, run, expected in passes:
        row = {"case": case.name, **what, "error": difference(run(), expected)}
        yield row if check else {**row, "ms": queued(run)}


def prepare(device: torch.device) -> None:
    """Compile everything at once."""
    major, minor = torch.cuda.get_device_capability(device)
    shapes = [case for case in cases(2**10, torch.device("cpu")) if " random " in case.name]
    walks = {tuning.walk for tuning in TUNINGS}
    sources = {grids.source(case.op, 3, case.features, case.dtype, walk) for case in shapes for walk in walks}
    compiling.prepare(sources, f"sm_{major}{minor}")


def line(row: dict[str, Any]) -> str:
    """For the eye."""
    way = "walk {walk} at once {at_once}".format(**row) if row["pass"] == "backward" else ""
    time = f"{row['ms']:8.4f} ms" if "ms" in row else ""
    return f"{row['case']:38} {row['pass']:8} {way:20}{time}  error {row['error']:.1e}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--share", type=int, default=1, help="take one point in so many")
    parser.add_argument("--only", default="", help="cases whose name holds this")
    parser.add_argument("--check", action="store_true", help="compare with the reference alone")
    parser.add_argument("--output", type=Path, help="a file for the JSON")
    options = parser.parse_args()
    device = torch.device("cuda")
    prepare(device)
    found = []
    for case in cases(options.share, device):
        if options.only in case.name:
            for row in measure(case, device, options.check):
                found.append(row)
                print(line(row), flush=True)
    if options.output:
        options.output.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
