"""Times ways to share small networks' work on a GPU: ``python -m benchmarks.mlp_plans [--only NAME] [--by-feature]``.

For each network alone, and for density and colour networks in one pass ("radiance"), every
:class:`~scenekit.kernels.gpu.layers.Plan` that shared memory has room for runs on 2^20 samples (or ``--count``),
results and gradients of inputs and weights apart: the median of 20 by CUDA events with the queue filled before it
begins. The plan that the package takes is marked; a plan whose registers overflow into memory shows it by its time.
``--kernels`` lists what each kernel of the package's own plan takes, by torch's profiler.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import wait
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks import record
from benchmarks.clock import timed
from scenekit.kernels.gpu import compile as compiling
from scenekit.kernels.gpu import launch, layers, mlp_half, radiance
from scenekit.kernels.gpu.compile import Source
from scenekit.kernels.gpu.layers import Chain, Plan
from scenekit.recipes.device import device_name

N = 2**20
NETWORKS = ((32, 64, 16), (32, 64, 64, 3), (64, 64, 64, 64, 64, 16), (32, 128, 128, 16), (128, 128, 128, 128, 128, 128))
ENCODED = (32, 16, 64)  # inputs of the density network in one pass
COLOR, DEGREE = (32, 64, 64, 3), 3


@dataclass(frozen=True)
class Work:
    """Layers whose plans are compared.

    Attributes:
        name: for people.
        chain: all layers.
        own: plans that the package takes, forward and backward.
        sources: of both passes with a plan.
        passes: both, with a plan, on tensors of their own.
    """

    name: str
    chain: Chain
    own: tuple[Plan | None, Plan | None]
    sources: tuple[Callable[[Plan], Source], Callable[[Plan], Source]]
    passes: tuple[Callable[[Plan | None], object], Callable[[Plan | None], object]]


def works(count: int, by_feature: bool, device: torch.device) -> Iterator[Work]:
    """Every network alone, then pairs of them in one pass."""
    for widths in NETWORKS:
        yield _alone(widths, count, by_feature, device)
    for encoded in ENCODED:
        yield _radiance(encoded, count, by_feature, device)


def _alone(widths: tuple[int, ...], count: int, by_feature: bool, device: torch.device) -> Work:
    inputs, gradient, weights = _rows(count, widths[0], by_feature, device), *_random(widths, count, device)
    memory = launch.shared_memory(device)
    return Work(
        ",".join(map(str, widths)),
        Chain(widths),
        (mlp_half.forward_plan(widths, memory), mlp_half.backward_plan(widths, memory)),
        (lambda plan: mlp_half.source(plan, widths), lambda plan: mlp_half.backward_source(plan, widths)),
        (
            lambda plan: mlp_half.forward(inputs, weights, widths, plan),
            lambda plan: mlp_half.backward(gradient, inputs, weights, widths, True, plan),
        ),
    )


def _radiance(encoded: int, count: int, by_feature: bool, device: torch.device) -> Work:
    shape, memory = radiance.Shape((encoded, 64, 16), COLOR, DEGREE), launch.shared_memory(device)
    directions = torch.nn.functional.normalize(torch.randn(count, 3, device=device), dim=-1)
    weights = [_random(widths, 0, device)[1] for widths in (shape.density, shape.color)]
    inputs = radiance.Inputs(_rows(count, encoded, by_feature, device), directions, *weights)
    gradients = torch.randn(count, device=device), torch.randn(count, 3, device=device)
    results = radiance.forward(inputs, shape, 0.0)
    return Work(
        f"radiance {encoded}",
        shape.chain,
        (radiance.forward_plan(shape, memory), radiance.backward_plan(shape, memory)),
        (lambda plan: radiance.source(shape, plan), lambda plan: radiance.backward_source(shape, plan)),
        (
            lambda plan: radiance.forward(inputs, shape, 0.0, plan),
            lambda plan: radiance.backward(gradients, results, inputs, shape, (True, False), plan),
        ),
    )


def _rows(count: int, width: int, by_feature: bool, device: torch.device) -> Tensor:
    return torch.randn(width, count, device=device).t() if by_feature else torch.randn(count, width, device=device)


def _random(widths: Sequence[int], count: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """A gradient of the outputs, and all layers' weights."""
    weights = [torch.randn(a * b, device=device) * (2 / a) ** 0.5 for a, b in itertools.pairwise(widths)]
    return torch.randn(count, widths[-1], device=device), torch.cat(weights)


def plans(bytes_of: Callable[[Plan], int], memory: int, sums: Sequence[bool]) -> Iterator[Plan]:
    """Every plan for which multiprocessors have the shared memory; weights leave it only where they must."""
    shares = [(w, b) for w in (2, 4, 8, 16) for b in (1, 2, 3, 4, 6) if 8 <= w * b <= 24]
    for (warps, blocks), height, sums_stay in itertools.product(shares, (1, 2), sums):
        both = [Plan(warps, height, blocks, sums_stay, stay) for stay in (True, False)]
        yield from [plan for plan in both if blocks * (bytes_of(plan) + layers.RESERVED) <= memory][:1]


def compare(work: Work, device: torch.device) -> dict[str, Any]:
    """Times in ms of all plans, the fastest first."""
    if work.own[0] is None or work.own[1] is None:
        return {"name": work.name, "forward": [], "backward": []}
    memory, chain = launch.shared_memory(device), work.chain

    def all_bytes(plan: Plan) -> int:
        return chain.weight_bytes(plan) + chain.value_bytes(plan)

    there = [*plans(chain.weight_bytes, memory, (True,)), replace(work.own[0], ahead=False)]
    back = [*plans(all_bytes, memory, (True, False)), replace(work.own[1], ahead=False)]
    sources = [work.sources[0](plan) for plan in there] + [work.sources[1](plan) for plan in back]
    wait(compiling.prepare(sources, launch.architecture(device.index)))
    return {
        "name": work.name,
        "forward": _sorted(there, work.own[0], work.passes[0], device),
        "backward": _sorted(back, work.own[1], work.passes[1], device),
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


def kernels(work: Work, device: torch.device) -> dict[str, float]:
    """Mean ms of each kernel of the package's own plan."""

    def both() -> None:
        for run in work.passes:
            run(None)

    both()
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
        for _ in range(20):
            both()
        torch.cuda.synchronize(device)
    averages = profile.key_averages()
    return {x.key: x.device_time_total / x.count / 1000 for x in averages if x.key.startswith(("mlp", "radiance"))}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="networks whose name, widths with commas, holds this")
    parser.add_argument("--kernels", action="store_true", help="the package's own plans, kernel by kernel")
    parser.add_argument("--by-feature", action="store_true", help="inputs stand as grids give them")
    parser.add_argument("--count", type=int, default=N, help="samples")
    parser.add_argument("--best", type=int, default=6, help="rows to print of each pass")
    parser.add_argument("--output", type=Path, help="a file for all rows as JSON")
    options = parser.parse_args()
    if not torch.cuda.is_available():
        raise SystemExit("mlp_plans: wanted an NVIDIA GPU and a torch built for it")
    device, found = torch.device("cuda", 0), []
    print(device_name(device))
    for work in works(options.count, options.by_feature, device):
        if options.only not in work.name:
            continue
        if options.kernels:
            found.append({"name": work.name, "kernels": kernels(work, device)})
            print(work.name, {name: round(ms, 4) for name, ms in found[-1]["kernels"].items()}, flush=True)
            continue
        found.append(compare(work, device))
        for name in ("forward", "backward"):
            for place, row in enumerate(found[-1][name]):
                if place < options.best or row["own"]:
                    print(work.name, name, f"{row['ms']:.4f}", row["plan"], "*" if row["own"] else "", flush=True)
    if options.output:
        record.write(options.output, {"device": device_name(device), "rows": found})


if __name__ == "__main__":
    main()
