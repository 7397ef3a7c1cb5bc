"""Seconds to sort Gaussians into a square grid: ``python -m benchmarks.grid_sort [--side 1000] [--device cuda]``.

What ``--compact`` and ``.sogc`` files sort by: places, sizes and colours of Gaussians on a rolling surface, shuffled.
"seconds" are those of whole sorts, beginning and ending with the GPU idle; the first one also loads, or compiles,
kernels. "moves" are exchanges all over the grid in groups of four, each of which the host waits for. "variance" of
neighbours' differences, before and after (shuffled rows have about 2), tells how good the grid is. ``--profile`` sorts
once more on a GPU, for what its kernels take.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from benchmarks.rasterizer_gpu import kernels
from scenekit.kernels import grid_sort
from scenekit.representations.compact import sorting_keys

SORTS = 3


def keys(count: int, device: torch.device) -> Tensor:
    """Sorting keys [N 9] that hang together as those of a scene do; the same on every machine."""
    g = torch.Generator().manual_seed(0)
    u, v = torch.rand(2, count, generator=g).unbind()
    height = 0.2 * torch.sin(9 * u) * torch.cos(7 * v)
    means = torch.stack([u, v, height], -1) + 0.01 * torch.randn(count, 3, generator=g)
    log_scales = -5 + 0.5 * torch.sin(11 * u + 5 * v)[:, None] + 0.4 * torch.randn(count, 3, generator=g)
    waves = torch.stack([torch.sin(23 * u), torch.cos(19 * v), torch.sin(13 * (u + v))], -1)
    return sorting_keys(means, log_scales, waves + 0.2 * torch.randn(count, 3, generator=g)).to(device)


def sort(values: Tensor, improvement: float) -> tuple[Tensor, float]:
    """The order found, and the seconds that took."""
    _wait(values.device)
    began = time.perf_counter()
    order = grid_sort.sort_into_grid(values, torch.Generator().manual_seed(0), improvement=improvement)
    _wait(values.device)
    return order, time.perf_counter() - began


def counted(body: Callable[[], object]) -> int:
    """How many moves a sort makes."""
    moves, move = 0, grid_sort.assign_fours_

    def counting(*arguments: Any) -> float:
        nonlocal moves
        moves += 1
        return move(*arguments)

    grid_sort.assign_fours_ = counting
    try:
        body()
    finally:
        grid_sort.assign_fours_ = move
    return moves


def measure(side: int, device: torch.device, improvement: float, sorts: int, *, profiled: bool) -> dict[str, Any]:
    """Everything about sorts of ``side`` squared rows."""
    values = keys(side * side, device)
    runs: list[tuple[Tensor, float]] = []
    moves = counted(lambda: runs.extend(sort(values, improvement) for _ in range(sorts)))
    found: dict[str, Any] = {
        "machine": torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU",
        "rows": side * side,
        "improvement": improvement,
        "seconds": [round(seconds, 3) for _, seconds in runs],
        "variance": [grid_sort.neighbour_variance(values), grid_sort.neighbour_variance(values[runs[-1][0]])],
        "same": all(torch.equal(order, runs[0][0]) for order, _ in runs),
    }
    found["moves"] = moves / sorts
    if device.type == "cuda" and profiled:
        found["kernels"] = kernels(lambda: sort(values, improvement), calls=1)
    return found


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--side", type=int, default=1000, help="of the grid, in rows")
    parser.add_argument("--improvement", type=float, default=3e-4, help="at which a round goes on; in training 1e-3")
    parser.add_argument("--sorts", type=int, default=SORTS)
    parser.add_argument("--profile", action="store_true", help="sort once more, and say what its kernels took")
    options = parser.parse_args()
    how = (options.side, torch.device(options.device), options.improvement, options.sorts)
    print(json.dumps(measure(*how, profiled=options.profile), indent=1))


if __name__ == "__main__":
    main()
