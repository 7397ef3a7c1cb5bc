"""Times ways to share a small network's work on a GPU: ``python -m benchmarks.mlp_plans [--only 32,64,16]``.

For each network every :class:`~scenekit.kernels.gpu.mlp_half.Plan` that shared memory has room for runs on 2^20
samples, outputs and gradients of inputs and weights apart: the median of 20 by CUDA events with the queue filled before
it begins. The plan that the package takes is marked; a plan whose registers overflow into memory shows it by its time.
``--kernels`` lists what each kernel of the package's own plan takes, by torch's profiler.
"""

from __future__ import annotations

import argparse
import itertools
import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import wait
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.clock import timed
from scenekit.kernels.gpu import compile as compiling
from scenekit.kernels.gpu import launch, mlp_half
from scenekit.kernels.gpu.mlp_half import Plan

N = 2**20
NETWORKS = ((32, 64, 16), (32, 64, 64, 3), (64, 64, 64, 64, 64, 16), (32, 128, 128, 16), (128, 128, 128, 128, 128, 128))


def plans(bytes_of: Callable[[Plan], int], memory: int, sums: Sequence[bool]) -> Iterator[Plan]:
    """Every plan for which multiprocessors have the shared memory; weights leave it only where they must."""
    shares = [(w, b) for w in (2, 4, 8, 16) for b in (1, 2, 3, 4, 6) if 8 <= w * b <= 24]
    for (warps, blocks), height, sums_stay in itertools.product(shares, (1, 2), sums):
        both = [Plan(warps, height, blocks, sums_stay, stay) for stay in (True, False)]
        yield from [plan for plan in both if blocks * (bytes_of(plan) + mlp_half.RESERVED) <= memory][:1]


def compare(widths: tuple[int, ...], device: torch.device) -> dict[str, Any]:
    """Times in ms of all plans for one network, the fastest first."""
    g = torch.Generator(device).manual_seed(0)
    weights = [torch.randn(a * b, generator=g, device=device) * (2 / a) ** 0.5 for a, b in itertools.pairwise(widths)]
    flat, inputs = torch.cat(weights), torch.randn(N, widths[0], generator=g, device=device)
    gradient = torch.randn(N, widths[-1], generator=g, device=device)
    memory = launch.shared_memory(device)

    def weight_bytes(plan: Plan) -> int:
        return mlp_half._weight_bytes(widths, plan)

    def all_bytes(plan: Plan) -> int:
        return weight_bytes(plan) + mlp_half._value_bytes(widths, plan)

    own = mlp_half.forward_plan(widths, memory), mlp_half.backward_plan(widths, memory)
    if own[0] is None or own[1] is None:
        return {"widths": widths, "forward": [], "backward": []}
    there = [*plans(weight_bytes, memory, (True,)), replace(own[0], ahead=False)]
    back = [*plans(all_bytes, memory, (True, False)), replace(own[1], ahead=False)]
    sources = [mlp_half.source(p, widths) for p in there] + [mlp_half.backward_source(p, widths) for p in back]
    wait(compiling.prepare(sources, launch.architecture(device.index)))

    def forward(plan: Plan) -> object:
        return mlp_half.forward(inputs, flat, widths, plan)

    def backward(plan: Plan) -> object:
        return mlp_half.backward(gradient, inputs, flat, widths, True, plan)

    return {
        "widths": widths,
        "forward": _sorted(there, own[0], forward, device),
        "backward": _sorted(back, own[1], backward, device),
    }


def _sorted(
    candidates: Sequence[Plan], own: Plan, run: Callable[[Plan], object], device: torch.device
) -> list[dict[str, Any]]:
    rows = []
    for plan in candidates:
        try:
            rows.append({"ms": timed(lambda p=plan: run(p), device), "plan": str(plan), "own": plan == own})
        except RuntimeError as error:  # it does not compile, or does not launch
            print(plan, str(error).splitlines()[0], flush=True)
    return sorted(rows, key=lambda row: row["ms"])


def kernels(widths: tuple[int, ...], device: torch.device) -> dict[str, float]:
    """Mean ms of each kernel of the package's own plan."""
    flat = torch.randn(sum(a * b for a, b in itertools.pairwise(widths)), device=device)
    inputs, gradient = torch.randn(N, widths[0], device=device), torch.randn(N, widths[-1], device=device)

    def both() -> Tensor:
        mlp_half.forward(inputs, flat, widths)
        return mlp_half.backward(gradient, inputs, flat, widths, True)[0]

    both()
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
        for _ in range(20):
            both()
        torch.cuda.synchronize(device)
    averages = profile.key_averages()
    return {x.key: x.device_time_total / x.count / 1000 for x in averages if x.key.startswith("mlp")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="one network, its widths with commas")
    parser.add_argument("--kernels", action="store_true", help="the package's own plans, kernel by kernel")
    parser.add_argument("--best", type=int, default=6, help="rows to print of each pass")
    parser.add_argument("--output", type=Path, help="a file for all rows as JSON")
    options = parser.parse_args()
    if not torch.cuda.is_available():
        raise SystemExit("mlp_plans: wanted an NVIDIA GPU and a torch built for it")
    device, found = torch.device("cuda", 0), []
    print(torch.cuda.get_device_name(device))
    chosen = [tuple(map(int, options.only.split(",")))] if options.only else NETWORKS
    for widths in chosen:
        if options.kernels:
            found.append({"widths": widths, "kernels": kernels(widths, device)})
            print(widths, {name: round(ms, 4) for name, ms in found[-1]["kernels"].items()}, flush=True)
            continue
        found.append(compare(widths, device))
        for name in ("forward", "backward"):
            for place, row in enumerate(found[-1][name]):
                if place < options.best or row["own"]:
                    print(widths, name, f"{row['ms']:.4f}", row["plan"], "*" if row["own"] else "", flush=True)
    if options.output:
        options.output.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
