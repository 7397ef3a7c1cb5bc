"""Times ways to share out the work of grids on a GPU: ``python -m benchmarks.grid_variants [--output FILE]``.

Kernels alone: calls stand in line behind a wait of the GPU, each figure is the mean of 20 in milliseconds by CUDA
events. The backward pass takes a gradient that stands as the features do, and includes zeros for its result. Every
variant is compared with the reference first; ``--check`` stops there, ``--device cpu --share 4096`` tries the script
where the emulator of the tests stands in for a GPU.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
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
FORWARD = (
    Tuning(lanes=1, together=4, by_point=True),
    Tuning(lanes=1, together=1),
    Tuning(lanes=2, together=4, by_point=True),
    Tuning(lanes=2, together=4),
    Tuning(lanes=2, together=2),
    Tuning(lanes=2, together=1),
)
BACKWARD = tuple(
    Tuning(walk=walk, exchange=exchange, mixed=mixed)
    for walk, exchange in ((1, 0), (1, 1), (4, 0), (4, 1), (8, 0), (8, 1), (8, 2), (16, 0), (16, 1))
    for mixed in (False, True)
)


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


def queued(body: Callable[[], object], device: torch.device) -> float:
    """Mean milliseconds of calls that wait in line, so that the host's share does not count."""
    if device.type != "cuda":
        body()
        return 0.0
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
    """A row for every variant."""
    inputs = (case.positions, case.table, case.layout)
    wanted = OPS[case.op].reference(case.positions, case.table, *case.layout)
    gradient = torch.randn(wanted.shape[::-1], device=device).to(case.dtype).t()
    backward = OPS[f"{case.op}_backward"].reference
    wanted_gradient = backward(gradient, case.positions, case.table, *case.layout, [False, True])[1]
    for tuning in FORWARD:
        run = _bound(grids.forward, case.op, *inputs, tuning)
        row = {"case": case.name, "pass": "forward", **asdict(tuning), "error": difference(run(), wanted)}
        yield row if check else {**row, "ms": queued(run, device)}
    for tuning in BACKWARD:
        run = _bound(grids.for_table, case.op, gradient, *inputs, tuning)
        row = {"case": case.name, "pass": "backward", **asdict(tuning), "error": difference(run(), wanted_gradient)}
        yield row if check else {**row, "ms": queued(run, device)}
    if not check:
        other = gradient.contiguous()
        yield {"case": case.name, "pass": "turning", "ms": queued(lambda: other.t().contiguous(), device)}


def _bound(body: Callable[..., Tensor], *arguments: Any) -> Callable[[], Tensor]:
    return lambda: body(*arguments)


def prepare(device: torch.device) -> None:
    """Compile all variants at once."""
    if device.type != "cuda":
        return
    major, minor = torch.cuda.get_device_capability(device)
    sources = {
        grids.source(case.op, 3, case.features, case.dtype, tuning)
        for case in cases(2**10, torch.device("cpu"))
        for tuning in (*FORWARD, *BACKWARD)
    }
    compiling.prepare(sources, f"sm_{major}{minor}")


def line(row: dict[str, Any]) -> str:
    """For the eye."""
    ways = {
        "forward": "lanes {lanes} together {together} by_point {by_point:d}",
        "backward": "walk {walk} exchange {exchange} mixed {mixed:d}",
        "turning": "[N LF] to [LF N]",
    }
    error = f"  error {row['error']:.1e}" if "error" in row else ""
    time = f"{row['ms']:8.4f} ms" if "ms" in row else ""
    return f"{row['case']:38} {row['pass']:8} {ways[row['pass']].format(**row):34}{time}{error}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--share", type=int, default=1, help="take one point in so many")
    parser.add_argument("--only", default="", help="cases whose name holds this")
    parser.add_argument("--check", action="store_true", help="compare with the reference alone")
    parser.add_argument("--output", type=Path, help="a file for the JSON")
    options = parser.parse_args()
    device = torch.device(options.device)
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
