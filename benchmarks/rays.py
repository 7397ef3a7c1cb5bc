"""Times what happens to rays on a GPU: ``python -m benchmarks.rays [--output FILE] [--only NAME] [--variants]``.

The scene is one that training leaves behind: a ball of radius 0.5 whose surface is as sharp as a cell of its field and
which is dense inside; 128^3 cells are occupied in it and just around it, 1024 steps cross the cube. A camera sees it in
two fifths of its pixels. "march" and "reach" take pixels at random, as training does, "trace" all of a picture; rows
with "neurons" have as many, Gaussians, between the grid and its networks.

Each figure is the median of 30 replays of a recorded graph by CUDA events, after 5 that do not count: the GPU's own
time, as in a recorded step; what reads a size back cannot be recorded and is timed as it is called. Ours is compared
with the reference on one in ``CHECKED`` rays, ours in the row's precision, the reference in float32. ``--variants``
times the same done otherwise: with other numbers of lanes to a ray, and with rows of a table that are neighbours read
in pairs. ``--device cpu --share 4096`` runs a small part of every row on a CPU, to try the script.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor
from torch.nn.functional import normalize

from benchmarks import record
from benchmarks.clock import timed
from scenekit.core.bounds import Bounds
from scenekit.core.capabilities import Traced
from scenekit.kernels import OPS, GridLayout
from scenekit.kernels.grid_layout import rows_of
from scenekit.kernels.lit_counts import lit_counts
from scenekit.kernels.march import Marched, StepRule, march
from scenekit.kernels.rbf import Neurons
from scenekit.kernels.trace_hash_grid import GridField, Stretches, trace_hash_grid
from scenekit.recipes.device import device_name

REPETITIONS, CHECKED = 30, 256
RADIUS, CELLS, FULL = 0.5, 128, 1024
RULE = StepRule(2 * math.sqrt(3) / FULL, 2 * math.sqrt(3) / FULL)
LAYOUTS = ((8, 4), (16, 2))  # levels, features
NEURONS_ON = (8, 4)  # the grid that neurons read
THICK, THIN = 8.5, 2.3  # raw densities inside and, negative, outside
LIT = 2**18  # samples that "reach" is told for


@dataclass(frozen=True)
class Row:
    """What is timed, how far it is from the reference, and how it may be done otherwise."""

    name: str
    scope: dict[str, Any]
    run: Callable[[], Any]
    error: Callable[[], Any] = lambda: None
    told: Callable[[Any, float], dict[str, Any]] = lambda _, __: {}  # of the result and the time
    recorded: bool = True
    products: str = "highest"
    shared_by: str = ""  # what launches it, where a ray may have more lanes or fewer


def rays_of_picture(width: int, height: int, device: torch.device) -> Stretches:
    """All pixels of a camera that looks at the ball from 1.4 away."""
    y, x = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    to = torch.stack([(x - width / 2) / height, (y - height / 2) / height, torch.ones_like(x)], -1).reshape(-1, 3)
    origins, near = torch.tensor([0.1, 0.2, -1.4]).expand(len(to), 3), torch.full((len(to),), 0.05)
    jitter = torch.rand(len(to), generator=torch.Generator().manual_seed(2))
    return Stretches(*(t.to(device).contiguous() for t in (origins, normalize(to, dim=-1), near, near + 6, jitter)))


def some(rays: Stretches, which: Any) -> Stretches:
    """Of the rays."""
    return Stretches(*(t[which].contiguous() for t in rays))


def of_training(count: int, device: torch.device) -> Stretches:
    """Pixels at random."""
    picture = rays_of_picture(800, 800, device)
    order = torch.randperm(len(picture.near), generator=torch.Generator().manual_seed(3))
    return some(picture, order.repeat(-(-count // len(order)))[:count].to(device))


def occupied(device: torch.device) -> Tensor:
    """The ball's cells and those that its surface may touch."""
    middles = (torch.arange(CELLS) + 0.5) * (2 / CELLS) - 1
    radius = torch.stack(torch.meshgrid(middles, middles, middles, indexing="ij")).norm(dim=0)
    return (radius < RADIUS + 0.02)[None].to(device)


def ball(levels: int, features: int, dtype: torch.dtype, device: torch.device) -> GridField:
    """Dense in the ball by one feature of the finest level that has a row for every vertex; the rest is noise."""
    g = torch.Generator().manual_seed(0)
    layout = GridLayout.of(3, levels=levels, log2_table=19, base_resolution=16, growth=128 ** (1 / (levels - 1)))
    table = 0.1 * torch.randn(layout.rows, features, generator=g)
    sizes = layout.level_rows
    level = max(i for i in range(levels) if layout.resolutions[i] ** 3 <= sizes[i])
    side = layout.resolutions[level]
    vertices = torch.stack(torch.meshgrid(*[torch.arange(side)] * 3, indexing="ij"), -1).reshape(-1, 3)
    radius = (2 * (vertices - 0.5) / layout.scales[level] - 1).norm(dim=-1)
    table[layout.offsets[level] + rows_of(vertices, side, sizes[level]), 0] = (RADIUS - radius).sign()

    def weights(outputs: int, inputs: int) -> Tensor:
        return torch.randn(outputs, inputs, generator=g) * (2 / inputs) ** 0.5

    density = [weights(64, levels * features), weights(16, 64)]
    density[0][:2], density[1][0] = 0.0, 0.0
    density[0][0, level * features], density[0][1, level * features] = 1.0, -1.0
    density[1][0, 0], density[1][0, 1] = THICK, -THIN
    color = [weights(64, 32), weights(64, 64), weights(3, 64)]
    moved = ([w.to(device) for w in network] for network in (density, color))
    return GridField(table.to(device, dtype), layout, *moved, log_density=math.log(0.1), bounds=Bounds())


def neurons_of(field: GridField, device: torch.device) -> GridField:
    """The ball told by two of 32 neurons, which know the inside and the outside by the same feature, and one layer."""
    g = torch.Generator().manual_seed(1)
    encoded = field.density[0].shape[1]
    knows = int(field.density[0][0].argmax())
    centers, log_precisions = torch.randn(32, encoded, generator=g), torch.randn(32, encoded, generator=g) - 3
    log_precisions[:2], log_precisions[:2, knows] = -20.0, 2.0
    centers[0, knows], centers[1, knows] = 1.0, -1.0
    density = torch.randn(16, 32, generator=g) * (2 / 32) ** 0.5
    density[0] = 0.0
    density[0, 0], density[0, 1] = THICK, -THIN
    neurons = Neurons(centers.to(device), log_precisions.to(device), "gaussian")
    return replace(field, density=[density.to(device)], neurons=neurons)


def march_rows(share: int, device: torch.device) -> Iterator[Row]:
    """Samples of rays: as many as there are, into a capacity, and with counts known beforehand."""
    cells = occupied(device)
    for count in (2**10, 2**14, 2**17, 2**20):
        rays = of_training(max(1, count // share), device)

        def run(rays: Stretches = rays, **how: Any) -> Marched:
            return march(*rays[:4], cells, rays.jitter, RULE, FULL, **how)

        counts = run().offsets.diff()
        capacity = int(counts.sum())
        scope = {"rays": len(rays.near), "samples": capacity}
        checked = some(rays, slice(None, None, CHECKED))

        def error(rays: Stretches = checked) -> bool:
            found = march(*rays[:4], cells, rays.jitter, RULE, FULL)
            packed = RULE.packed(torch.float32, device)
            wanted = OPS["march"].reference(*rays[:4], cells, rays.jitter, packed, FULL, -1, None, None)
            return all(torch.equal(a, b) for a, b in zip(found[:3], wanted[:3], strict=True))

        ways = {
            "": {},
            "capacity": {"capacity": capacity},
            "capacity, counts": {"capacity": capacity, "counts": counts},
        }
        for way, how in ways.items():
            yield Row("march", {**scope, "given": way}, lambda run=run, how=how: run(**how), error,
                      recorded=bool(how), shared_by="march")  # fmt: skip
        yield from _sample_rows(scope, run())


def _sample_rows(scope: dict[str, Any], marched: Marched) -> Iterator[Row]:
    """What is done to samples of whole rays."""
    alphas, distances, offsets = torch.full_like(marched.deltas, 0.1), marched.distances, marched.offsets
    colors = torch.rand(len(alphas), 3, device=alphas.device)
    inputs = alphas, colors, distances, offsets
    seeds = [torch.rand_like(x) for x in OPS["composite"](*inputs)]
    yield Row("composite", scope, lambda: OPS["composite"](*inputs))
    yield Row("composite_backward", scope, lambda: OPS["composite_backward"](*seeds, *inputs))
    yield Row("lit_counts", scope, lambda: lit_counts(alphas, offsets))


def picture_rows(share: int, device: torch.device) -> Iterator[Row]:
    """Pictures in one pass."""
    cells = occupied(device)
    for levels, features in LAYOUTS:
        for dtype, products in ((torch.float32, "high"), (torch.float16, "high"), (torch.float32, "highest")):
            field = ball(levels, features, dtype, device)
            for width, height in ((800, 800), (1920, 1080)):
                rays = some(rays_of_picture(width, height, device), slice(None, None, share))
                scope = {
                    "frame": [width, height],
                    "L": levels,
                    "F": features,
                    "table": str(dtype),
                    "products": products,
                }
                yield _traced("trace", scope, rays, cells, field, products)
                if (levels, features) == NEURONS_ON:
                    read = neurons_of(field, device)
                    yield _traced("trace", {**scope, "neurons": 32}, rays, cells, read, products)


def reach_rows(share: int, device: torch.device) -> Iterator[Row]:
    """How far light reaches along the rays of a step of training."""
    cells = occupied(device)
    for levels, features in LAYOUTS:
        field = ball(levels, features, torch.float32, device)
        for count in (1000, 10_000, 30_000, 60_000, 2**18):
            rays = of_training(max(1, count // share), device)
            scope = {"rays": len(rays.near), "L": levels, "F": features, "products": "high"}
            yield _traced("reach", scope, rays, cells, field, "high")
            if (levels, features) == NEURONS_ON:
                yield _traced("reach", {**scope, "neurons": 32}, rays, cells, neurons_of(field, device), "high")


def _traced(name: str, scope: dict[str, Any], rays: Stretches, cells: Tensor, field: GridField, products: str) -> Row:
    def run(rays: Stretches = rays) -> Traced:
        return trace_hash_grid(rays, cells, RULE, FULL, field, shaded=name == "trace")

    def error() -> dict[str, float]:
        few = some(rays, slice(None, None, CHECKED))
        torch.set_float32_matmul_precision(products)
        found = run(few)
        torch.set_float32_matmul_precision("highest")
        wanted = _by_reference(few, cells, field, name == "trace")
        parts = zip(Traced._fields, found, wanted, strict=True)
        return {part: float((a.double() - b.double()).abs().max()) for part, a, b in parts}

    def told(result: Traced, milliseconds: float) -> dict[str, Any]:
        lit = int(result.samples.sum())
        return {
            "lit": lit,
            "ms_per_2^18_lit": milliseconds * LIT / max(1, lit),
            "hit": float((result.opacities > 0.5).float().mean()),
        }

    return Row(name, scope, run, error, told, products=products, shared_by="trace_hash_grid")


def _by_reference(rays: Stretches, cells: Tensor, field: GridField, shaded: bool) -> Traced:
    layout, of, packed = field.layout, field.neurons, RULE.packed(torch.float32, cells.device)
    neurons = ([], "") if of is None else ([of.centers, of.log_precisions], of.kernel)
    grid = (field.table, layout.scales, layout.resolutions, layout.offsets, False, *neurons, field.density, field.color)
    return Traced(
        *OPS["trace_hash_grid"].reference(
            *rays, cells, packed, FULL, *grid, field.log_density, 1.0, False, shaded, None, None
        )
    )


def measure(row: Row, device: torch.device, variants: bool) -> Iterator[dict[str, Any]]:
    """The row's time as it is, then done otherwise."""
    yield {**_timed(row, device), "against_reference": row.error()}
    module = f"scenekit.kernels.gpu.{row.shared_by}"
    if not variants or not row.shared_by:
        return
    for lanes in (1, 2, 4, 8, 16, 32):
        name, value = ("LANES", lanes) if row.shared_by == "march" else ("lanes_of", lambda _, lanes=lanes: lanes)
        with patch(f"{module}.{name}", value):
            yield {**_timed(row, device), "lanes": lanes}
    if row.shared_by == "trace_hash_grid":
        with patch(f"{module}.PAIRS", True):
            yield {**_timed(row, device), "pairs": True}


def _timed(row: Row, device: torch.device) -> dict[str, Any]:
    torch.set_float32_matmul_precision(row.products)
    milliseconds = _milliseconds(row, device)
    told = row.told(row.run(), milliseconds)
    torch.set_float32_matmul_precision("highest")
    return {"name": row.name, **row.scope, "ms": milliseconds, **told}


@torch.no_grad()
def _milliseconds(row: Row, device: torch.device) -> float:
    if device.type != "cuda" or not row.recorded:
        return timed(row.run, device, REPETITIONS if device.type == "cuda" else 1)
    row.run()  # kernels are loaded, and constants copied, before anything is recorded
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        row.run()
    return timed(graph.replay, device, REPETITIONS)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--share", type=int, default=1, help="run one part in so many of every row")
    parser.add_argument("--only", default="", help="rows of this name")
    parser.add_argument("--variants", action="store_true", help="with other numbers of lanes to a ray too")
    parser.add_argument("--output", type=Path, help="a file for the JSON")
    options = parser.parse_args()
    device = torch.device(options.device)
    found: list[dict[str, Any]] = []
    for make in (march_rows, picture_rows, reach_rows):
        for row in make(options.share, device):
            if options.only not in ("", row.name):
                continue
            for entry in measure(row, device, options.variants):
                found.append(entry)
                print(json.dumps(entry), flush=True)
    if options.output:
        scope = " ".join(str(__doc__).split("\n\n")[1].split())
        record.write(options.output, {"scope": scope, "device": device_name(device), "rows": found})


if __name__ == "__main__":
    main()
