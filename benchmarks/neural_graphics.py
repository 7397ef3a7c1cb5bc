"""Four applications of neural graphics in several encodings: ``python -m benchmarks.neural_graphics``.

After "Hardware Acceleration of Neural Graphics" (ISCA 2023): radiance fields (nerf), signed distances (sdf), radiance
volumes (volume) and images (image). Kernels are timed alone on random and on ordered points, on a GPU without what the
host needs to ask for them. Frames are rendered by the house's own renderers, a radiance field on a grid by its fused
path. Rays of the rest ask an untrained network at every sample but see a fixed shape (a ball, a foggy one, a shell), so
that the samples are those of a real frame. A frame's time is the median from asking for it to having it; smaller frames
are scaled up by their pixels, and say so. ``--keep`` puts frames into ``results/neural_graphics.json``.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks import record
from benchmarks.clock import timed
from benchmarks.neural_scenes import (
    APPLICATIONS,
    ENCODINGS,
    FRAMES,
    GRIDS,
    Clock,
    Fixed,
    Frame,
    encoding_of,
    frame_of,
    solid_ball,
)
from scenekit.core.precision import quick_products
from scenekit.kernels import native
from scenekit.kernels.mlp import mlp
from scenekit.recipes.device import device_name, device_of
from scenekit.representations.networks import layers
from scenekit.representations.radiance import RadianceField

FEWEST, REPEATED, LONGEST = 2, 20, 3.0  # frames that do not count, that do, and seconds after which none more comes


def nanoseconds(body: Callable[[], Any], count: int, seconds: float) -> float:
    """Least time of a call, per sample."""
    body()
    least, end = float("inf"), time.perf_counter() + seconds
    while True:
        start = time.perf_counter()
        body()
        least = min(least, time.perf_counter() - start)
        if time.perf_counter() > end:
            return least / count * 1e9


def points_of(dimensions: int, count: int, *, ordered: bool) -> Tensor:
    """Anywhere, or along short rays (rows of an image) as a renderer asks."""
    generator = torch.Generator().manual_seed(0)
    if not ordered:
        return torch.rand(count, dimensions, generator=generator)
    rays = -(-count // 64)
    start = torch.rand(rays, 1, dimensions, generator=generator)
    step = torch.nn.functional.normalize(torch.randn(rays, 1, dimensions, generator=generator), dim=-1) / 512
    return (start + torch.arange(64)[None, :, None] * step).clamp(0, 1).reshape(-1, dimensions)[:count]


def time_of(body: Callable[[], Any], count: int, options: argparse.Namespace) -> float:
    """Nanoseconds of a call, per sample."""
    device = torch.device(options.device)
    if device.type == "cuda":
        return 1e6 * timed(body, device) / count
    return nanoseconds(body, count, options.seconds)


def kernel_rows(application: str, encoding: str, options: argparse.Namespace) -> list[dict[str, Any]]:
    """Encoding and network, forward and backward, ns a sample; bytes are those of the parameters."""
    app, device = APPLICATIONS[application], torch.device(options.device)
    module = encoding_of(encoding, app, options.log2_table, device)
    weights = layers([module.features, *[64] * app.hidden, app.outputs], torch.Generator().manual_seed(0)).to(device)
    matrices = tuple(weights)
    size = sum(p.numel() * p.element_size() for group in module.parameter_groups() for p in group.parameters.values())
    rows = []
    for ordered in (False, True):
        points = points_of(app.dimensions, options.samples, ordered=ordered).to(device)
        with torch.no_grad():
            features = module(points)
        bodies: dict[str, Callable[[], Any]] = {
            "encode": lambda p=points: module(p),
            "network": lambda f=features: mlp(f, matrices),
            "encode_and_backward": lambda p=points: module(p).sum().backward(),
            "network_and_backward": lambda f=features: mlp(f, matrices).sum().backward(),
        }
        row: dict[str, Any] = {"application": application, "encoding": encoding, "parameter_bytes": size}
        row["points"] = "ordered" if ordered else "random"
        for name, body in bodies.items():
            with torch.set_grad_enabled(name.endswith("backward")):
                row[f"{name}_ns"] = round(time_of(body, options.samples, options), 3)
        rows.append(row)
    return rows


def frame_rows(application: str, encoding: str, options: argparse.Namespace) -> list[dict[str, Any]]:
    """One frame of every size; on a CPU also what of it is spent in the encoding and in the network."""
    app, device, clock = APPLICATIONS[application], torch.device(options.device), Clock()
    if application == "nerf" and encoding in GRIDS:
        field: Fixed | RadianceField = solid_ball(encoding, app, options.log2_table, device)
    else:
        field = Fixed(encoding_of(encoding, app, options.log2_table, device), app, clock).to(device)
    rows = []
    for name in options.frames:
        width, height, target = FRAMES[name]
        size = (max(2, width // options.reduce), max(2, height // options.reduce))
        render = frame_of(application, field, size, device)
        clock.reset()
        samples, spent = measured(render, device)
        scale = width * height / (size[0] * size[1])
        row = {
            "application": application, "encoding": encoding, "frame": name, "rendered": list(size),
            "samples_a_pixel": round(samples / (size[0] * size[1]), 2), "milliseconds": round(spent * scale * 1e3, 2),
            "target_milliseconds": target, "reached": spent * scale * 1e3 <= target, "device": device_name(device),
        }  # fmt: skip
        if device.type == "cpu" and isinstance(field, Fixed):
            row |= {
                "encoding_share": round(clock.encoding / spent, 3),
                "network_share": round(clock.network / spent, 3),
            }
        rows.append(row)
        if options.keep:
            record.keep("neural_graphics", f"{application} {encoding} {name}", row)
    return rows


def measured(render: Frame, device: torch.device) -> tuple[int, float]:
    """Samples and seconds of a frame: of the first on a CPU, else the median of some after two, fewer of slow ones."""
    spent: list[float] = []
    samples = 0
    with torch.no_grad(), quick_products(device):
        while not spent or (device.type == "cuda" and len(spent) < FEWEST + REPEATED and sum(spent) < LONGEST):
            start = time.perf_counter()
            samples = render()
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            spent.append(time.perf_counter() - start)
    return samples, statistics.median(spent[FEWEST:] or spent[-1:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--applications", nargs="+", default=list(APPLICATIONS), choices=list(APPLICATIONS))
    parser.add_argument("--encodings", nargs="+", default=list(ENCODINGS), choices=list(ENCODINGS))
    parser.add_argument("--frames", nargs="*", default=list(FRAMES), choices=list(FRAMES))
    parser.add_argument("--samples", type=int, default=2**18, help="of the kernels; 0 for none")
    parser.add_argument("--seconds", type=float, default=0.5, help="for each kernel on a CPU")
    parser.add_argument("--reduce", type=int, help="frames are rendered this much smaller along each side; 8 on a CPU")
    parser.add_argument("--log2-table", type=int, help="in place of each application's own")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    parser.add_argument("--keep", action="store_true", help="put frames into the results")
    parser.add_argument("--output", type=Path, help="where to write the result as JSON")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    options.device = device_of(options.device)
    options.reduce = options.reduce or (8 if options.device.type == "cpu" else 1)
    pairs = [(application, encoding) for application in options.applications for encoding in options.encodings]
    frames = [row for pair in pairs for row in frame_rows(*pair, options)]
    result = {
        "device": device_name(options.device),
        "threads": options.threads,
        "kernels": native.describe(),
        "samples": options.samples,
        "kernel_times": [row for pair in pairs for row in kernel_rows(*pair, options)] if options.samples else [],
        "frames": frames,
        "load": os.getloadavg()[0],
    }
    print(json.dumps(result, indent=1))
    if options.output is not None:
        record.write(options.output, result)


if __name__ == "__main__":
    main()
