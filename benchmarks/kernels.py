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
import json
import os
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import wait
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks import record
from benchmarks.clock import issued, timed
from benchmarks.kernel_rows import GENERATORS, Row
from scenekit.kernels.gpu import compile as compiling
from scenekit.kernels.gpu import composite, grids, launch, march, mlp_half, radiance
from scenekit.recipes.device import device_name

REPETITIONS, FEW = 30, 3  # of references few, which take a hundred times as long


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
    found: dict[str, Any] = {
        "scope": " ".join(str(__doc__).split("\n\n")[1].split()),
        "device": device_name(device),
        "cuda": torch.version.cuda,
        "copy_tb_per_s": copy_rate(device),
        "cold_start": cold_start(device),
        "rows": [],
    }
    for make in GENERATORS:
        for row in make(options.share, device):
            if options.only in row.name:
                found["rows"].append(measure(row, device))
                print(json.dumps(found["rows"][-1]), flush=True)
                if options.output:  # what is measured stays, whatever comes of the next row
                    record.write(options.output, found)


if __name__ == "__main__":
    main()
