"""Times what fields are made of on a GPU: ``python -m benchmarks.kernels [--output FILE] [--only NAME]``.

Each figure is the median of 30 (of references, 3) by CUDA events, for calls as a user makes them, autograd included, of
the GPU alone: its queue is filled before it begins, and what the host takes to fill it stands apart ("issue"). "both"
is forward and backward into what is trained. Networks come in both precisions. Beside ours stand the plain torch
references on the same GPU, and tiny-cuda-nn where it can be imported; before a row is timed, ours and the reference are
compared on its inputs. ``--device cpu --share 4096`` runs a small part of every row on a CPU, to try the script.

Points: "random" anywhere in the cube; "rays" 1,024 steps along each of some rays over 0.4 of the cube; "surface" a
patch of neighbouring pixels with 32 samples each in a shell 0.1 thick, what training sees once the occupancy grid has
settled.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import wait
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import normalize

from benchmarks.clock import issued, timed
from scenekit.kernels import OPS, GridLayout, adam_numbers, simplex_layout, truncated_exp
from scenekit.kernels.gpu import compile as compiling
from scenekit.kernels.gpu import composite, grids, launch, march, mlp_half, radiance

REPETITIONS, FEW = 30, 3  # of references few, which take a hundred times as long
N = 2**20
LAYOUTS = ((16, 2, 19), (8, 4, 19), (16, 2, 22))  # levels, features, log2 of a level's rows


@dataclass(frozen=True)
class Row:
    """What is timed: an op or two, with arguments of which some are differentiated."""

    name: str
    scope: dict[str, Any]
    run: Callable[..., Any]  # of the leaves
    reference: Callable[..., Any]
    leaves: tuple[Tensor, ...]
    trained: tuple[int, ...] = ()  # positions among the leaves
    peer: Callable[[], Callable[[], Tensor] | None] = lambda: None
    products: str = "highest"  # what torch.set_float32_matmul_precision is given
    results: int = 1  # how many of the results, the first ones, have a gradient in "both"


def points(kind: str, count: int, device: torch.device) -> Tensor:
    """Points [N 3] of the unit cube, in the order that threads take them."""
    g = torch.Generator().manual_seed(0)
    if kind == "random":
        found = torch.rand(count, 3, generator=g)
    elif kind == "rays":
        steps = min(1024, count)
        starts, ways = torch.rand(count // steps, 1, 3, generator=g), torch.randn(count // steps, 1, 3, generator=g)
        found = (starts + 0.4 * torch.linspace(0, 1, steps)[:, None] * normalize(ways, dim=-1)) % 1.0
    else:
        height = max(1, round((count / 64) ** 0.5))
        width = count // (32 * height)
        y, x = torch.meshgrid(torch.linspace(0.3, 0.55, height), torch.linspace(0.3, 0.8, width), indexing="ij")
        depth = 0.5 + 0.1 * torch.sin(7 * x) * torch.cos(5 * y)
        along = depth[..., None] + 0.1 * torch.linspace(0, 1, 32)
        found = torch.stack([x[..., None].expand_as(along), y[..., None].expand_as(along), along], -1)
    return found.reshape(-1, 3).to(device)


def grid_rows(share: int, device: torch.device) -> Iterator[Row]:
    """Encodings of both kinds of cells."""
    for kind in ("random", "rays", "surface"):
        for levels, features, log2_table in LAYOUTS:
            for op, dtype in (
                ("hash_grid", torch.float32),
                ("hash_grid", torch.float16),
                ("simplex_grid", torch.float32),
            ):
                layout_of = simplex_layout if op == "simplex_grid" else GridLayout.of
                growth = 128 ** (1 / (levels - 1))
                layout = layout_of(3, levels=levels, log2_table=log2_table, base_resolution=16, growth=growth)
                x = points(kind, N // share, device)
                table = torch.randn(layout.rows, features, device=device).to(dtype)
                shape = (layout.scales, layout.resolutions, layout.offsets)
                scope = {"points": kind, "count": len(x), "L": levels, "F": features, "log2_T": log2_table,
                         "table": str(dtype)}  # fmt: skip
                peer = _tiny_cuda_nn(x, levels, features, log2_table, growth) if op == "hash_grid" else lambda: None
                yield _grid_row(op, scope, x, table, shape, peer)


def wide_rows(share: int, device: torch.device) -> Iterator[Row]:
    """What rows of many features serve: colours of dense grids, a tri-plane's plane, a plane and a line of low rank."""
    for kind in ("random", "surface"):
        x = points(kind, N // share, device)
        for dimensions, cells, features in (
            (3, (128,), 27),
            (3, (128,), 48),
            (2, (64, 102, 161, 256), 16),
            (2, (300,), 48),
            (1, (300,), 48),
        ):
            layout = GridLayout.dense(dimensions, cells)
            table = torch.randn(layout.rows, features, device=device)
            shape = (layout.scales, layout.resolutions, layout.offsets)
            scope = {"points": kind, "count": len(x), "D": dimensions, "cells": cells, "F": features}
            yield _grid_row("hash_grid", scope, x[:, :dimensions].contiguous(), table, shape, lambda: None, "wide ")


def _grid_row(op: str, scope: dict[str, Any], x: Tensor, table: Tensor, shape: Any, peer: Any, kind: str = "") -> Row:
    return Row(
        kind + op,
        scope,
        lambda t: OPS[op](x, t, *shape),
        lambda t: OPS[op].reference(x, t, *shape),
        (table,),
        (0,),
        peer,
    )


def _tiny_cuda_nn(x: Tensor, levels: int, features: int, log2_table: int, growth: float) -> Any:
    def build() -> Callable[[], Tensor] | None:
        try:
            library = import_module("tinycudann")
        except (ImportError, OSError):
            return None
        settings = {"otype": "HashGrid", "n_levels": levels, "n_features_per_level": features,
                    "log2_hashmap_size": log2_table, "base_resolution": 16, "per_level_scale": growth}  # fmt: skip
        encoding = library.Encoding(3, settings)
        return lambda: encoding(x)

    return build


def network_rows(share: int, device: torch.device) -> Iterator[Row]:
    """Small networks alone, and behind an encoding."""
    for widths in ([32, 64, 16], [32, 64, 64, 3], [32, 128, 128, 16], [64, 64, 64, 64, 64, 16]):
        for count in (2**14, 2**17, 2**20):
            inputs = torch.randn(max(1, count // share), widths[0], device=device)
            weights = _weights(widths, device)
            for products in ("highest", "high"):
                yield _mlp_row(widths, inputs, weights, products)
    layout = GridLayout.of(3, levels=16, log2_table=19, base_resolution=16, growth=128 ** (1 / 15))
    shape, widths = (layout.scales, layout.resolutions, layout.offsets), [32, 64, 16]
    table = 0.1 * torch.randn(layout.rows, 2, device=device)
    for kind in ("random", "surface"):
        x = points(kind, N // share, device)
        for products in ("highest", "high"):
            scope = {"points": kind, "count": len(x), "widths": widths, "products": products}
            yield _encoded_row(scope, x, table, _weights(widths, device), shape)


def _weights(widths: list[int], device: torch.device) -> Tensor:
    return torch.cat([torch.randn(a * b, device=device) * (2 / a) ** 0.5 for a, b in itertools.pairwise(widths)])


def _mlp_row(widths: list[int], inputs: Tensor, weights: Tensor, products: str) -> Row:
    scope = {"widths": widths, "count": len(inputs), "products": products}
    run, reference = OPS["mlp"], OPS["mlp"].reference
    return Row(
        "mlp",
        scope,
        lambda a, w: run(a, w, widths),
        lambda a, w: reference(a, w, widths),
        (inputs, weights),
        (0, 1),
        products=products,
    )


def _encoded_row(scope: dict[str, Any], x: Tensor, table: Tensor, weights: Tensor, shape: Any) -> Row:
    grid, net = OPS["hash_grid"], OPS["mlp"]
    return Row(
        "hash_grid + mlp",
        scope,
        lambda t, w: net(grid(x, t, *shape), w, scope["widths"]),
        lambda t, w: net.reference(grid.reference(x, t, *shape), w, scope["widths"]),
        (table, weights),
        (0, 1),
        products=scope["products"],
    )


def radiance_rows(share: int, device: torch.device) -> Iterator[Row]:
    """What fields do after their encoding, which stands by feature: in one pass, and operator by operator."""
    for encoded in (32, 16, 64):
        for count in (2**18, 2**20):
            rows = max(1, count // share)
            density, color = [encoded, 64, 16], [32, 64, 64, 3]
            leaves = torch.randn(encoded, rows, device=device).t(), _weights(density, device), _weights(color, device)
            directions = normalize(torch.randn(rows, 3, device=device), dim=-1)
            scope = {"widths": [density, color], "count": rows, "products": "high"}
            for name, run in (("radiance", OPS["radiance"]), ("radiance by operators", _by_operators)):
                yield _radiance_row(name, scope, run, leaves, directions)


def _radiance_row(name: str, scope: dict[str, Any], run: Any, leaves: tuple[Tensor, ...], directions: Tensor) -> Row:
    rest = (*scope["widths"], 3, -2.3)
    return Row(
        name,
        scope,
        lambda e, d, c: run(e, directions, d, c, *rest),
        lambda e, d, c: OPS["radiance"].reference(e, directions, d, c, *rest),
        leaves,
        (0, 1, 2),
        products="high",
        results=2,
    )


def _by_operators(
    encoded: Tensor, directions: Tensor, density: Tensor, color: Tensor, *rest: Any
) -> tuple[Tensor, Tensor]:
    density_widths, color_widths, degree, log_density = rest
    features = OPS["mlp"](encoded, density, density_widths)
    taken = torch.cat([features, OPS["spherical_harmonics"](directions, degree)], -1)
    return truncated_exp(features[:, 0] + log_density), OPS["mlp"](taken, color, color_widths).sigmoid()


def _plain_row(op: str, scope: dict[str, Any], arguments: tuple[Any, ...]) -> Row:
    return Row(op, scope, lambda: OPS[op](*arguments), lambda: OPS[op].reference(*arguments), ())


def other_rows(share: int, device: torch.device) -> Iterator[Row]:
    """Pictures' similarity, and steps of the optimizer."""
    for side in (200, 800, 2000):
        target = torch.rand(max(1, side // share), side, 3, device=device)
        yield _ssim_row(target)
    gaussians = [10**6 * width for width in (3, 4, 3, 1, 3, 45)]
    field = [12_000_000, 64 * 32, 16 * 64, 64 * 32, 64 * 64, 3 * 64]
    for sizes, sparse, clear in (
        ([2**24], False, False),
        ([2**24], True, False),
        (gaussians, False, False),
        (gaussians, False, True),
        (field, True, False),
    ):
        yield _adam_row([max(1, size // share) for size in sizes], sparse, clear, device)


def _adam_row(sizes: list[int], sparse: bool, clear: bool, device: torch.device) -> Row:
    """A step over tensors of these sizes, a tenth of the gradients not zero; cleared ones are zero from then on."""
    state = [[torch.rand(size, device=device) for size in sizes] for _ in range(4)]
    for gradient in state[1]:
        gradient.mul_(torch.rand_like(gradient) < 0.1)
    rows = list(range(len(sizes)))
    numbers = torch.tensor([adam_numbers(learning_rate=1e-3, step=10)] * len(sizes), device=device)
    bad = torch.zeros(len(sizes), dtype=torch.int32, device=device)
    scope = {"entries": sum(sizes), "tensors": len(sizes), "sparse": sparse, "clear": clear}
    return _plain_row("adam_", scope, (*state, numbers, rows, [sparse] * len(sizes), clear, bad))


def _ssim_row(target: Tensor) -> Row:
    op, image = OPS["ssim"], target + 0.1 * torch.randn_like(target)
    scope = {"picture": list(target.shape)}
    return Row("ssim", scope, lambda x: op(x, target), lambda x: op.reference(x, target), (image,), (0,))


def measure(row: Row, device: torch.device) -> dict[str, Any]:
    """Times in ms, beside how far ours is from the reference."""
    # Adam changes what it is given.
    errors = _largest_errors(row, device) if row.name != "adam_" else []
    found: dict[str, Any] = {"name": row.name, **row.scope, "largest_errors": errors}
    torch.set_float32_matmul_precision(row.products)
    peer = row.peer()
    for who, body, repetitions in (
        ("ours", row.run, _repetitions(device)),
        ("reference", row.reference, _repetitions(device, FEW)),
    ):
        try:
            found[who] = _times(body, row, device, repetitions)
        except torch.OutOfMemoryError as failure:
            found[who] = {"failed": str(failure)[:200]}
    if peer is not None:
        found["tinycudann_forward_ms"] = timed(peer, device, _repetitions(device))
        found["tinycudann_both_ms"] = timed(lambda: peer().sum().backward(), device, _repetitions(device))
    torch.set_float32_matmul_precision("highest")
    return found


def _times(body: Callable[..., Any], row: Row, device: torch.device, repetitions: int) -> dict[str, float | None]:
    def forward() -> Any:
        with torch.no_grad():
            return body(*row.leaves)

    passes = {"forward": forward, **({"both": _both(body, row, device)} if row.trained else {})}
    found: dict[str, float | None] = {}
    for name, run in passes.items():
        found[f"{name}_ms"] = timed(run, device, repetitions)
        found[f"{name}_issue_ms"] = issued(run, device)
    return found


def _both(body: Callable[..., Any], row: Row, device: torch.device) -> Callable[[], tuple[Tensor, ...]]:
    """Forward and backward: gradients of what is trained, for a gradient of the result that is always the same."""
    leaves = [x.detach().requires_grad_(i in row.trained) for i, x in enumerate(row.leaves)]
    wanted = [leaves[i] for i in row.trained]
    generator, seeds = torch.Generator(device).manual_seed(3), []
    for result in _results(body(*leaves), row):
        values = torch.randn(result.shape, generator=generator, device=device)
        # In memory as the result is, as whoever takes it would answer.
        seeds.append(torch.empty_like(result.detach()).copy_(values))
    return lambda: torch.autograd.grad(_results(body(*leaves), row), wanted, seeds)


def _results(found: Any, row: Row) -> tuple[Tensor, ...]:
    return (found,) if isinstance(found, Tensor) else tuple(found[: row.results])


def _largest_errors(row: Row, device: torch.device) -> list[float]:
    """Of the result and of each gradient, as fractions of the reference's largest value."""
    found = []
    for body, products in ((row.run, row.products), (row.reference, "highest")):
        torch.set_float32_matmul_precision(products)
        with torch.no_grad():
            found.append(list(_results(body(*row.leaves), row)))
        if row.trained:
            found[-1] += _both(body, row, device)()
    torch.set_float32_matmul_precision("highest")
    return [_error(a.float(), b.float()) for a, b in zip(*found, strict=True)]


def _error(a: Tensor, b: Tensor) -> float:
    if a.shape != b.shape:
        return float("inf")
    return float((a - b).abs().max() / b.abs().max().clamp_min(1e-30)) if b.numel() else 0.0


def _repetitions(device: torch.device, many: int = REPETITIONS) -> int:
    return many if device.type == "cuda" else 1


def cold_start(device: torch.device) -> dict[str, float] | None:
    """Seconds to compile what a step of a hash grid needs, all at once, into an empty cache."""
    if device.type != "cuda":
        return None
    major, minor = torch.cuda.get_device_capability(device)
    sources = [
        grids.source("hash_grid", 3, 2, torch.float32),
        *radiance.sources(radiance.Shape((32, 64, 16), (32, 64, 64, 3), 3), launch.shared_memory(device)),
        *mlp_half.sources([32, 64, 16], launch.shared_memory(device))[:1],
        march.SOURCE,
        composite.source(3),
    ]
    before = os.environ.get("SCENEKIT_CACHE")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["SCENEKIT_CACHE"] = folder
        began = time.perf_counter()
        wait(compiling.prepare(sources, f"sm_{major}{minor}"))
        seconds = time.perf_counter() - began
    os.environ.pop("SCENEKIT_CACHE")
    if before is not None:
        os.environ["SCENEKIT_CACHE"] = before
    return {"seconds": seconds, "sources": len(sources)}


def copy_rate(device: torch.device) -> float:
    """Bytes read and written a second by a copy on the device, in TB/s: what bounds most rows."""
    x = torch.empty(2**28 if device.type == "cuda" else 2**22, device=device)
    y = torch.empty_like(x)
    return 2 * x.nbytes / timed(lambda: y.copy_(x), device, _repetitions(device)) / 1e9


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--share", type=int, default=1, help="run one part in so many of every row")
    parser.add_argument("--only", default="", help="rows whose name holds this")
    parser.add_argument("--output", type=Path, help="a file for the JSON")
    options = parser.parse_args()
    device = torch.device(options.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        raise SystemExit(
            "kernels: wanted an NVIDIA GPU and a torch built for it; --device cpu --share 64 tries the script"
        )
    machine = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    found: dict[str, Any] = {
        "scope": " ".join(str(__doc__).split("\n\n")[1].split()),
        "machine": machine,
        "versions": {"torch": torch.__version__, "cuda": torch.version.cuda},
        "copy_tb_per_s": copy_rate(device),
        "cold_start": cold_start(device),
        "rows": [],
    }
    for make in (grid_rows, wide_rows, network_rows, radiance_rows, other_rows):
        for row in make(options.share, device):
            if options.only in row.name:
                found["rows"].append(measure(row, device))
                print(json.dumps(found["rows"][-1]), flush=True)
                if options.output:  # what is measured stays, whatever comes of the next row
                    options.output.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
