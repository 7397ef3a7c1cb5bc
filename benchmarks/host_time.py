"""Times what a call costs the host, not the GPU: ``python -m benchmarks.host_time [--device cuda] [--output FILE]``.

Microseconds a call of the public functions on inputs so small that the GPU always waits: the best of 7 runs of 200
calls, the GPU waited for at the ends of a run alone. "inference" is without gradients, "forward" with them, "both" is
forward and backward through autograd. "one launch" is a kernel of ten arguments with nothing around it; "torch" is a
multiplication, for scale.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks import record
from scenekit import kernels
from scenekit.kernels.composite import composite
from scenekit.kernels.gpu import adam, launch
from scenekit.recipes.device import device_name

CALLS, RUNS = 200, 7
N = 64


def cases(device: torch.device) -> dict[str, tuple[Callable[..., Tensor], tuple[Tensor, ...]]]:
    """A function of tensors that all get a gradient, and those tensors."""
    g = torch.Generator().manual_seed(0)

    def random(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=g).to(device)

    layout = kernels.GridLayout.of(3, levels=16, log2_table=10, base_resolution=4, growth=1.3)
    distances, offsets = random(N), torch.arange(0, N + 1, 8, device=device)
    target, camera = random(16, 16, 3), torch.eye(4, device=device)[:3]
    intrinsics = torch.tensor([50.0, 50.0, 32.0, 32.0], device=device)

    def projected(means: Tensor, quaternions: Tensor, scales: Tensor, opacities: Tensor, *harmonics: Tensor) -> Tensor:
        shapes = (means, quaternions, scales, opacities, camera, intrinsics)
        return kernels.project(*shapes, (64, 64), harmonics=(harmonics[0], harmonics[1]), degree=3).rows

    def pictured(*tensors: Tensor) -> Tensor:
        rows = projected(*tensors)
        tiles = kernels.intersect(rows.detach(), rows[:, 9].detach().contiguous(), (64, 64), capacity=4096)
        return kernels.rasterize(rows, tiles, (64, 64)).features

    gaussians = (random(N, 3), random(N, 4), random(N, 3), random(N), random(N, 1, 3), random(N, 15, 3))

    return {
        "multiplication (torch)": (lambda x: 2.0 * x, (random(N),)),
        "hash_grid": (lambda x, table: kernels.hash_grid(x, table, layout), (random(N, 3), random(layout.rows, 2))),
        "mlp": (lambda x, *weights: kernels.mlp(x, weights), (random(N, 32), random(64, 32), random(16, 64))),
        "composite": (lambda a, c: composite(a, c, distances, offsets).colors, (random(N), random(N, 3))),
        "ssim": (lambda image: kernels.ssim(image, target), (random(16, 16, 3),)),
        "harmonic_colors": (lambda c, d: kernels.harmonic_colors(c, d, 3), (random(N, 16, 3), random(N, 3))),
        "project": (projected, gaussians),
        "project, intersect, rasterize": (pictured, gaussians),
    }


def measure(device: torch.device) -> dict[str, Any]:
    """Rows by name."""
    found: dict[str, Any] = {name: row(*case, device) for name, case in cases(device).items()}
    if device.type == "cuda":
        arrays = [torch.zeros(1024, device=device) for _ in range(4)]
        arguments = (*arrays, 1024, *[0.5] * 6, False, True)
        found["one launch"] = microseconds(lambda: launch.launch(adam.SOURCE, "adam", 1, 256, *arguments), device)
    return found


def row(run: Callable[..., Tensor], tensors: tuple[Tensor, ...], device: torch.device) -> dict[str, float]:
    """What one function costs."""
    leaves = [x.clone().requires_grad_() for x in tensors]
    seed = torch.ones_like(run(*leaves))
    with torch.no_grad():
        inference = microseconds(lambda: run(*tensors), device)
    forward = microseconds(lambda: run(*leaves), device)
    both = microseconds(lambda: torch.autograd.grad(run(*leaves), leaves, seed), device)
    return {"inference": inference, "forward": forward, "both": both}


def microseconds(call: Callable[[], Any], device: torch.device) -> float:
    """Of one call, as the host sees it."""
    times = []
    for _ in range(RUNS + 1):  # the first run compiles and loads
        began = time.perf_counter()
        for _ in range(CALLS):
            call()
        times.append((time.perf_counter() - began) / CALLS)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
    return round(1e6 * min(times[1:]), 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--output", type=Path, help="a file for the JSON")
    options = parser.parse_args()
    device = torch.device(options.device)
    found = measure(device)
    for name, times in found.items():
        print(f"{name:30}", times)
    if options.output:
        record.write(options.output, {"device": device_name(device), "microseconds": found})


if __name__ == "__main__":
    main()
