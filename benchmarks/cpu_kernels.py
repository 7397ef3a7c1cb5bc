"""Times every native CPU operator against its plain-torch reference: ``python -m benchmarks.cpu_kernels``.

A time is the best of several runs, in milliseconds of wall time, tensors freshly allocated by every run as in
training; forward and backward together include autograd. Load by others makes both columns slower and the
ratio noisy: the load average is printed beside the machine.
"""

from __future__ import annotations

import argparse
import itertools
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Generator, Tensor

from benchmarks import record
from scenekit.kernels import OPS, GridLayout, native, simplex_layout


@dataclass(frozen=True)
class Case:
    """One row of the table: an op, what it runs over, its arguments and which of them get gradients."""

    op: str
    scope: str
    make: Callable[[Generator], tuple[Any, ...]]
    differentiable: tuple[int, ...] = ()


@dataclass(frozen=True)
class Measured:
    """Milliseconds; the second pair is None for ops without a gradient."""

    op: str
    scope: str
    forward: float
    forward_reference: float
    both: float | None
    both_reference: float | None


def ray_points(generator: Generator, rays: int, samples: int) -> Tensor:
    """Samples along rays from one camera through the unit cube, as a trainer visits them."""
    camera, pixels = torch.tensor([0.5, 0.5, -0.2]), torch.rand(rays, 1, 3, generator=generator)
    along = torch.linspace(0.3, 1.0, samples)[None, :, None]
    return (camera + (pixels - camera) * along).reshape(-1, 3).clamp(0, 1)


def grid_case(
    levels: int, features: int, log2_table: int, growth: float, *, op: str = "hash_grid", where: str = "on rays"
) -> Case:
    """Encoding of 131k samples, on 2048 rays or anywhere; both kinds of grid have the same vertices."""
    layout_of = simplex_layout if op == "simplex_grid" else GridLayout.of
    layout = layout_of(3, levels=levels, log2_table=log2_table, base_resolution=16, growth=growth)
    lists = (list(layout.scales), list(layout.resolutions), list(layout.offsets))

    def make(generator: Generator) -> tuple[Any, ...]:
        anywhere = torch.rand(131072, 3, generator=generator)
        points = ray_points(generator, 2048, 64) if where == "on rays" else anywhere
        return points, torch.randn(layout.rows, features, generator=generator), *lists

    return Case(op, f"131k {where}, L{levels} F{features} 2^{log2_table}", make, (1,))


def mlp_case(widths: tuple[int, ...], rows: int) -> Case:
    """A perceptron whose inputs want a gradient, as behind a grid."""

    def make(generator: Generator) -> tuple[Any, ...]:
        weights = [torch.randn(a * b, generator=generator) / a**0.5 for a, b in itertools.pairwise(widths)]
        return torch.randn(rows, widths[0], generator=generator), torch.cat(weights), list(widths)

    return Case("mlp", f"{rows // 1024}k, {'-'.join(map(str, widths))}", make, (0, 1))


def colors_case(rows: int, degree: int) -> Case:
    """Colours of Gaussians."""

    def make(generator: Generator) -> tuple[Any, ...]:
        directions = torch.nn.functional.normalize(torch.randn(rows, 3, generator=generator), dim=-1)
        return torch.randn(rows, (degree + 1) ** 2, 3, generator=generator), directions, degree

    return Case("harmonic_colors", f"{rows // 1000}k, degree {degree}", make, (0, 1))


CASES = [
    grid_case(8, 4, 17, 2.0),
    grid_case(16, 2, 17, 1.38191),
    grid_case(16, 2, 19, 1.38191),
    *(
        grid_case(*shape, op=op, where=where)
        for shape in ((8, 4, 17, 2.0), (16, 2, 19, 1.38191))
        for op, where in (("hash_grid", "at random"), ("simplex_grid", "at random"), ("simplex_grid", "on rays"))
    ),
    mlp_case((32, 32, 16), 65536),
    mlp_case((32, 64, 16), 65536),
    mlp_case((32, 64, 64, 3), 65536),
    mlp_case((32, 64, 64, 3), 262144),
    colors_case(100_000, 3),
]


def best(run: Callable[[], object], seconds: float) -> float:
    """Milliseconds of the fastest of at least three runs after one that warms up."""
    run()
    times: list[float] = []
    while len(times) < 3 or sum(times) < seconds:
        begin = time.perf_counter()
        run()
        times.append(time.perf_counter() - begin)
    return min(times) * 1000


def measure(case: Case, seconds: float) -> Measured:
    """Time one case through the op and through its reference."""
    op, arguments = OPS[case.op], case.make(Generator().manual_seed(0))
    leaves = [arguments[position].requires_grad_() for position in case.differentiable]

    def forward(body: Callable[..., Any]) -> float:
        with torch.no_grad():
            return best(lambda: body(*arguments), seconds)

    def both(body: Callable[..., Any]) -> float:
        outputs = body(*arguments)
        first = outputs if isinstance(outputs, Tensor) else outputs[0]
        seed = torch.randn(first.shape, generator=Generator().manual_seed(1))

        def run() -> object:
            outputs = body(*arguments)
            return torch.autograd.grad(outputs if isinstance(outputs, Tensor) else outputs[0], leaves, seed)

        return best(run, seconds)

    pair = (both(op), both(op.reference)) if leaves else (None, None)
    return Measured(case.op, case.scope, forward(op), forward(op.reference), *pair)


def circumstances() -> dict[str, Any]:
    """What the numbers depend on besides the machine."""
    return {
        "library": native.describe(),
        "threads": torch.get_num_threads(),
        "load": [round(x, 1) for x in os.getloadavg()],
    }


def row(found: Measured) -> str:
    """One line of the table."""

    def pair(mine: float | None, theirs: float | None) -> str:
        if mine is None or theirs is None:
            return f"{'-':>9} {'-':>10} {'-':>7}"
        return f"{mine:9.2f} {theirs:10.2f} {theirs / mine:6.1f}x"

    forward = pair(found.forward, found.forward_reference)
    return f"{found.op:16} {found.scope:32} {forward} {pair(found.both, found.both_reference)}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--only", help="names of ops, comma separated")
    parser.add_argument("--threads", type=int, default=2, help="of torch and of the native loops")
    parser.add_argument("--seconds", type=float, default=0.3, help="per time measured, at least three runs")
    parser.add_argument("--output", type=Path, help="also write the table here")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if native.library() is None:
        raise SystemExit("no native library is loaded: there is nothing to compare")
    about = circumstances()
    print(", ".join(f"{key} {value}" for key, value in (record.machine() | about).items()))
    print(f"{'':49} {'forward, ms':>28} {'forward + backward, ms':>28}")
    columns = f"{'native':>9} {'reference':>10} {'ratio':>7}"
    print(f"{'op':16} {'scope':32} {columns} {columns}")
    results: list[Measured] = []
    for case in CASES:
        if options.only is None or case.op in options.only.split(","):
            results.append(measure(case, options.seconds))
            print(row(results[-1]), flush=True)
    about["load_after"] = [round(x, 1) for x in os.getloadavg()]
    print(f"load average afterwards: {about['load_after']}")
    if options.output:
        record.write(options.output, {**about, "rows": [asdict(result) for result in results]})


if __name__ == "__main__":
    main()
