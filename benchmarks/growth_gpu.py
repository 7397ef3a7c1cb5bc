"""Time and memory on a GPU over three decades of what work is counted in: ``python -m benchmarks.growth_gpu``.

The steps are those of :mod:`benchmarks.growth`, forward and backward. Milliseconds are the GPU's own, medians of 20 by
CUDA events; bytes are what torch has handed out at the peak beyond what stood before the step. A step of few reads
numbers back or waits for launches: the exponent of the last decade tells how cost grows where it is large. Results go
to ``benchmarks/results/growth_gpu.json``.
"""

from __future__ import annotations

import gc

import torch

from benchmarks.clock import timed
from benchmarks.growth import Step, exponent, gaussians, pixels, samples
from benchmarks.record import keep
from scenekit.recipes.device import device_name, device_of

RESULTS = "growth_gpu"
AXES = {"samples": (samples, 10_000), "gaussians": (gaussians, 1000), "pixels": (pixels, 10_000)}  # from how many on


def point(step: Step, device: torch.device) -> dict[str, float]:
    """One size: milliseconds of a step, and how far memory rises in it."""
    step()
    torch.cuda.synchronize(device)
    before = torch.cuda.memory_allocated(device)
    torch.cuda.reset_peak_memory_stats(device)
    milliseconds = timed(step, device)
    return {"milliseconds": milliseconds, "bytes": torch.cuda.max_memory_allocated(device) - before}


def measured(axis: str, device: torch.device) -> dict[str, object]:
    """All sizes and the exponents."""
    prepare, smallest = AXES[axis]
    points = []
    for size in (smallest * 10**decade for decade in range(4)):
        points.append({"size": size, **point(prepare(size, device), device)})
        gc.collect()
        torch.cuda.empty_cache()
    last = [(each["size"], each["milliseconds"], each["bytes"]) for each in points[-2:]]
    sizes, times, grown = zip(*last, strict=True)
    return {
        "scope": (prepare.__doc__ or "").strip(),
        "device": device_name(device),
        "last_exponent": exponent(sizes, times),
        "last_memory_exponent": exponent(sizes, grown),
        "points": points,
    }


def main() -> None:
    device = device_of("cuda")
    for axis in AXES:
        keep(RESULTS, axis, measured(axis, device))


if __name__ == "__main__":
    main()
