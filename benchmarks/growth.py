"""Time and memory over three decades of what work is counted in, and the exponents with which they grow.

    python -m benchmarks.growth [samples gaussians pixels images]

Each point is a process of its own. ``cpu_seconds`` is the least CPU time of some repetitions of one step, forward and
backward; ``bytes`` is how far the resident memory rises at its peak above what is left of a tiny step, which has loaded
what is loaded once: what such a step has freed is given back first, lest a larger one be hidden in it. The
``exponent`` is the slope of a line through all points, times and sizes as logarithms, and ``last_exponent`` that of the
last decade alone, which fixed costs do not flatten. Blocks from 32 MiB on go back to the system when they are freed,
and the kernel clears their pages when the next step asks for them: ``system_seconds`` of ``cpu_seconds`` are that,
and ``last_user_exponent`` leaves them out. Results go to ``benchmarks/results/growth.json``.
"""

from __future__ import annotations

import ctypes
import gc
import json
import math
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from benchmarks.record import keep
from scenekit.core.bounds import Bounds
from scenekit.core.cameras import Cameras, look_at
from scenekit.core.protocols import Context
from scenekit.core.rays import Samples
from scenekit.data.synthetic import hemisphere
from scenekit.renderers.occupancy import OccupancyGrid
from scenekit.renderers.splats import SplatRenderer
from scenekit.representations import Gaussians, HashGrid
from scenekit.representations.networks import Networks
from scenekit.representations.point_clouds import random_cloud
from scenekit.training.batches import PixelBatches, Views

LIMIT = 1.05
TINY = 100
HOST = torch.device("cpu")
FEWEST = 8  # repetitions, of which the least counts: on a machine with other work the first few may all be disturbed
Step = Callable[[], object]


def samples(count: int, device: torch.device = HOST) -> Step:
    """A field of a hash grid asked for density and colour, with gradients."""
    generator = torch.Generator().manual_seed(0)
    field = HashGrid(log2_table=17, networks=Networks(width=32)).build(Bounds(extent=1.0), generator).to(device)
    positions = torch.rand(count, 3, generator=generator) * 2 - 1
    directions = torch.nn.functional.normalize(torch.randn(count, 3, generator=generator), dim=-1)
    asked = Samples(positions.to(device), directions.to(device), torch.full((count,), 0.01, device=device))

    def step() -> None:
        density, features = field.density(asked)
        (field.color(features, asked).sum() + density.sum()).backward()

    return step


def gaussians(count: int, device: torch.device = HOST) -> Step:
    """One picture of 64x64 of so many Gaussians, each as large as the room between them, with gradients."""
    return _pictured(count, 64, device)


def pixels(count: int, device: torch.device = HOST) -> Step:
    """One picture of so many pixels of 3000 Gaussians, with gradients."""
    return _pictured(3000, round(math.sqrt(count)), device)


def _pictured(count: int, side: int, device: torch.device) -> Step:
    generator = torch.Generator().manual_seed(0)
    camera = _camera(side)
    bounds = Bounds(extent=1.0)
    cloud = random_cloud(count, bounds, camera, generator)
    model = Gaussians(max_count=count, harmonics_degree=1).build(cloud, bounds, camera, generator)
    renderer, seen_from = SplatRenderer(model).to(device), camera.to(device)
    context = Context(training=True, generator=torch.Generator(device).manual_seed(0), progress=0.5)
    return lambda: renderer.render(seen_from, context=context).color.sum().backward()


def _camera(side: int) -> Cameras:
    eye, up = torch.tensor([0.0, 0.8, 2.4]), torch.tensor([0.0, 1.0, 0.0])
    intrinsics = torch.tensor([[1.2 * side, 1.2 * side, side / 2, side / 2]])
    return Cameras(look_at(eye, torch.zeros(3), up)[None], intrinsics, ((side, side),))


def images(count: int) -> Step:
    """What a training does once for so many photographs of 32x32: one row of all pixels, cells that none sees."""
    cameras = hemisphere(count, (32, 32)).to(dtype=torch.float32)

    def step() -> None:
        pictures = tuple(torch.zeros(32, 32, 3, dtype=torch.uint8) for _ in range(count))
        PixelBatches(Views(cameras, pictures), 4096).next(Context(generator=torch.Generator()))
        OccupancyGrid(1, 32).forget_unseen(cameras)

    return step


@dataclass(frozen=True)
class Axis:
    """What is counted, and how many of it at the smallest of four sizes, each ten times the one before."""

    prepare: Callable[[int], Step]
    smallest: int

    @property
    def sizes(self) -> list[int]:
        """Over three decades."""
        return [self.smallest * 10**decade for decade in range(4)]


AXES = {
    "samples": Axis(samples, 1000),
    "gaussians": Axis(gaussians, 1000),
    "pixels": Axis(pixels, 1000),
    "images": Axis(images, 10),
}


def point(axis: str, count: int) -> dict[str, float]:
    """One size, measured in this process."""
    torch.set_num_threads(1)
    AXES[axis].prepare(TINY)()  # loads what is loaded at first use
    before = _settled()
    step = AXES[axis].prepare(count)
    times: list[tuple[float, float]] = []
    begun = time.perf_counter()
    while len(times) < FEWEST or (time.perf_counter() - begun < 1 and len(times) < 50):
        start = resource.getrusage(resource.RUSAGE_SELF)
        step()
        end = resource.getrusage(resource.RUSAGE_SELF)
        system = end.ru_stime - start.ru_stime
        times.append((end.ru_utime - start.ru_utime + system, system))
    least, system = min(times)
    return {"size": count, "cpu_seconds": least, "system_seconds": system, "bytes": _peak() - before}


def _settled() -> int:
    """Bytes that are resident once the allocator has given back what is free; the peak begins anew from there."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")
    return _resident("VmRSS")


def _peak() -> int:
    return _resident("VmHWM")


def _resident(kind: str) -> int:
    status = Path("/proc/self/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in status if line.startswith(kind))


def exponent(sizes: Sequence[float], values: Sequence[float]) -> float:
    """Slope of the line through the logarithms."""
    x = torch.tensor(sizes, dtype=torch.float64).log()
    y = torch.tensor(values, dtype=torch.float64).clamp(min=1e-9).log()
    x = x - x.mean()
    return round(float((x * (y - y.mean())).sum() / (x * x).sum()), 3)


def measured(axis: str) -> dict[str, object]:
    """All sizes, each in a process of its own, and the exponents."""
    command = [sys.executable, "-m", "benchmarks.growth", "--point", axis]
    points = [
        json.loads(subprocess.run([*command, str(size)], check=True, stdout=subprocess.PIPE, text=True).stdout)
        for size in AXES[axis].sizes
    ]
    sizes = [each["size"] for each in points]
    times = [each["cpu_seconds"] for each in points]
    computing = [each["cpu_seconds"] - each["system_seconds"] for each in points]
    grown = [(each["size"], max(4096, each["bytes"])) for each in points]
    return {
        "scope": f"{(AXES[axis].prepare.__doc__ or '').strip()} one thread, float32, cpu",
        "exponent": exponent(sizes, times),
        "last_exponent": exponent(sizes[-2:], times[-2:]),
        "last_user_exponent": exponent(sizes[-2:], computing[-2:]),
        "memory_exponent": exponent(*zip(*grown, strict=True)),
        "last_memory_exponent": exponent(*zip(*grown[-2:], strict=True)),
        "limit": LIMIT,
        "points": points,
    }


def main(arguments: list[str]) -> None:
    if arguments[:1] == ["--point"]:
        print(json.dumps(point(arguments[1], int(arguments[2]))))
        return
    for axis in arguments or AXES:
        keep("growth", axis, measured(axis))


if __name__ == "__main__":
    main(sys.argv[1:])
