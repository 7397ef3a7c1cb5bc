"""Time of the rasterizer per pass, on generated ellipses: ``python -m benchmarks.rasterizer``.

Where there is a GPU it is measured (``rasterizer_gpu.py``), against gsplat where its kernels are compiled, or
``--build-peer`` has them compiled first, for many minutes; ``--device cpu`` measures the loops for the CPU there too.

"cs-ms" is the process's CPU time divided by two, in milliseconds: what two free cores would need if both were
kept busy. Unlike wall time it bears a loaded machine, whose load average stands beside it. The scenes have
about as many (Gaussian, tile) intersections as splats fitted to photographs at 270x480.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

import torch
from torch import Tensor

from benchmarks import rasterizer_gpu
from scenekit.kernels import intersect, native
from scenekit.kernels.project import PROJECT, PROJECT_BACKWARD
from scenekit.kernels.rasterize import RASTERIZE, RASTERIZE_BACKWARD

SIZE = (270, 480)
# Gaussians and the median long sigma in pixels that gives about 91, 151 and 268 thousand intersections.
SCENES = ((10_000, 7.0), (35_000, 3.65), (100_000, 2.1))


@dataclass(frozen=True)
class Timing:
    """One pass over one scene: the least and the mean over repetitions."""

    gaussians: int
    intersections: int
    name: str
    cs_ms: float
    mean_cs_ms: float
    wall_ms: float


def measure(body: Callable[[], object], seconds: float) -> tuple[float, float, float]:
    """Least and mean CPU time / 2, and least wall time, in ms."""
    body()
    cpu, wall = [], []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(cpu) < 3:
        before, start = time.process_time(), time.perf_counter()
        body()
        cpu.append((time.process_time() - before) * 500)
        wall.append((time.perf_counter() - start) * 1000)
    return min(cpu), sum(cpu) / len(cpu), min(wall)


def gaussians(count: int, sigma: float) -> tuple[Tensor, ...]:
    """Gaussians that fill the view of a camera at the origin; ``sigma`` is in pixels at focal 300."""
    g = torch.Generator().manual_seed(0)
    depths = 2 + 4 * torch.rand(count, 1, generator=g)
    corners = (torch.rand(count, 2, generator=g) - 0.5) * torch.tensor(SIZE) / 300
    means = torch.cat([corners * depths, depths], 1)
    quaternions = torch.randn(count, 4, generator=g)
    sizes = sigma / 300 * depths * torch.exp(0.6 * torch.randn(count, 1, generator=g))
    scales = sizes * torch.exp(-0.7 * torch.randn(count, 3, generator=g).abs())
    opacities = torch.sigmoid(1.5 * torch.randn(count, generator=g) - 0.5)
    return means, quaternions, scales, opacities


def time_scene(count: int, sigma: float, seconds: float) -> list[Timing]:
    """Every pass of one scene."""
    shapes = gaussians(count, sigma)
    camera, intrinsics = torch.eye(4)[:3], torch.tensor([300.0, 300.0, SIZE[0] / 2, SIZE[1] / 2])
    harmonics = (torch.randn(count, 1, 3), 0.2 * torch.randn(count, 15, 3))
    inputs = (*shapes, *harmonics, camera, intrinsics, *SIZE, 0.01, 0.3, 3, False)
    rows, depths = PROJECT(*inputs)
    tiles = intersect(rows, depths, SIZE)
    lists = (tiles.gaussians, tiles.offsets)
    image, opacities, *saved = RASTERIZE(rows, *lists, 3, *SIZE)
    seeds = (torch.rand_like(image), torch.rand_like(opacities))
    gradient = RASTERIZE_BACKWARD(*seeds, rows, *lists, *saved)
    passes: dict[str, Callable[[], object]] = {
        "project": lambda: PROJECT(*inputs),
        "intersect": lambda: intersect(rows, depths, SIZE),
        "forward": lambda: RASTERIZE(rows, *lists, 3, *SIZE),
        "backward": lambda: RASTERIZE_BACKWARD(*seeds, rows, *lists, *saved),
        "project back": lambda: PROJECT_BACKWARD(gradient, *inputs, [True, False]),
    }
    found = len(tiles.gaussians)
    return [Timing(count, found, name, *measure(body, seconds)) for name, body in passes.items()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output, nothing else")
    parser.add_argument("--threads", type=int, default=2, help="threads of the compiled loops")
    parser.add_argument("--seconds", type=float, default=1.0, help="time per pass")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--keep", action="store_true", help="put what a GPU gave into the results")
    parser.add_argument("--build-peer", action="store_true", help="compile gsplat's kernels first where need be")
    options = parser.parse_args()
    if options.device == "cuda":
        found = rasterizer_gpu.run(torch.device("cuda", 0), build_peer=options.build_peer)
        if options.keep:
            rasterizer_gpu.keep(found)
        print(json.dumps(found) if options.json else rasterizer_gpu.table(found))
        return
    torch.set_num_threads(options.threads)
    timings = [timing for scene in SCENES for timing in time_scene(*scene, options.seconds)]
    load = os.getloadavg()[0]
    if options.json:
        rows = [asdict(timing) for timing in timings]
        print(json.dumps({"kernels": native.describe(), "load": load, "threads": options.threads, "rows": rows}))
        return
    print(f"{SIZE[0]}x{SIZE[1]}, {native.describe()}, {options.threads} threads, load {load:.1f}")
    print(f"{'Gaussians':>9} {'intersections':>13} {'pass':<12} {'cs-ms':>7} {'mean':>7} {'wall ms':>8}")
    for t in timings:
        row = f"{t.gaussians:>9} {t.intersections:>13} {t.name:<12} {t.cs_ms:>7.2f} {t.mean_cs_ms:>7.2f}"
        print(f"{row} {t.wall_ms:>8.2f}")


if __name__ == "__main__":
    main()
