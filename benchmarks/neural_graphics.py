"""Four applications of neural graphics in several encodings: ``python -m benchmarks.neural_graphics``.

After "Hardware Acceleration of Neural Graphics" (ISCA 2023): radiance fields (nerf), signed distances (sdf), radiance
volumes (volume) and images (image). Kernels are timed alone on random and on ordered points. Frames are rendered by
the house's own renderers, whose rays ask an untrained network at every sample but see a fixed shape (a ball, a foggy
one, a shell), so that the samples are those of a real frame; smaller frames are scaled up by their pixels, and say so.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.neural_scenes import APPLICATIONS, ENCODINGS, FRAMES, Clock, Fixed, encoding_of, frame_of
from scenekit.kernels import native
from scenekit.kernels.mlp import mlp
from scenekit.representations.networks import layers


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


def kernel_rows(application: str, encoding: str, options: argparse.Namespace) -> list[dict[str, Any]]:
    """Encoding and network, forward and backward, ns a sample; bytes are those of the parameters."""
    app = APPLICATIONS[application]
    module = encoding_of(encoding, app, options.log2_table)
    weights = tuple(layers([module.features, *[64] * app.hidden, app.outputs], torch.Generator().manual_seed(0)))
    size = sum(p.numel() * p.element_size() for group in module.parameter_groups() for p in group.parameters.values())
    rows = []
    for ordered in (False, True):
        points = points_of(app.dimensions, options.samples, ordered=ordered)
        with torch.no_grad():
            features = module(points)
        bodies: dict[str, Callable[[], Any]] = {
            "encode": lambda p=points: module(p),
            "network": lambda f=features: mlp(f, weights),
            "encode_and_backward": lambda p=points: module(p).sum().backward(),
            "network_and_backward": lambda f=features: mlp(f, weights).sum().backward(),
        }
        row: dict[str, Any] = {"application": application, "encoding": encoding, "parameter_bytes": size}
        row["points"] = "ordered" if ordered else "random"
        for name, body in bodies.items():
            with torch.set_grad_enabled(name.endswith("backward")):
                row[f"{name}_ns"] = round(nanoseconds(body, options.samples, options.seconds), 1)
        rows.append(row)
    return rows


def frame_rows(application: str, encoding: str, options: argparse.Namespace) -> list[dict[str, Any]]:
    """One frame of every size, and what of it is spent in the encoding and in the network."""
    app = APPLICATIONS[application]
    clock = Clock()
    field = Fixed(encoding_of(encoding, app, options.log2_table), app, clock)
    rows = []
    for name, (width, height, target) in FRAMES.items():
        size = (max(2, width // options.reduce), max(2, height // options.reduce))
        clock.reset()
        start = time.perf_counter()
        samples = frame_of(application, field, size)
        spent = time.perf_counter() - start
        scale = width * height / (size[0] * size[1])
        rows.append({
            "application": application, "encoding": encoding, "frame": name, "rendered": list(size),
            "samples_a_pixel": round(samples / (size[0] * size[1]), 2), "milliseconds": round(spent * scale * 1e3, 1),
            "encoding_share": round(clock.encoding / spent, 3), "network_share": round(clock.network / spent, 3),
            "target_milliseconds": target, "reached": spent * scale * 1e3 <= target,
        })  # fmt: skip
        if options.one_frame:
            break
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--applications", nargs="+", default=list(APPLICATIONS), choices=list(APPLICATIONS))
    parser.add_argument("--encodings", nargs="+", default=list(ENCODINGS), choices=list(ENCODINGS))
    parser.add_argument("--samples", type=int, default=2**18, help="of the kernels")
    parser.add_argument("--seconds", type=float, default=0.5, help="for each kernel")
    parser.add_argument("--reduce", type=int, default=8, help="frames are rendered this much smaller along each side")
    parser.add_argument("--log2-table", type=int, help="in place of each application's own")
    parser.add_argument("--one-frame", action="store_true", help="1080p alone")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", choices=["cpu"], default="cpu", help="what has kernels so far")
    parser.add_argument("--output", type=Path, help="where to write the result as JSON")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    pairs = [(application, encoding) for application in options.applications for encoding in options.encodings]
    result = {
        "device": f"{options.device}: no GPU was used; the targets are those of one",
        "machine": f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores",
        "threads": options.threads,
        "kernels": native.describe(),
        "torch": torch.__version__,
        "samples": options.samples,
        "kernel_times": [row for pair in pairs for row in kernel_rows(*pair, options)],
        "frames": [row for pair in pairs for row in frame_rows(*pair, options)],
        "load": os.getloadavg()[0],
    }
    text = json.dumps(result, indent=1)
    print(text)
    if options.output is not None:
        options.output.write_text(text + "\n")


if __name__ == "__main__":
    main()
