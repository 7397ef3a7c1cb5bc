"""Time of splatting on a GPU, ours and gsplat's on the same Gaussians in one run: part of ``benchmarks.rasterizer``.

A pass over the whole renderer (harmonics of degree 3, projection, lists, picture) and back to every parameter, one
camera; each figure is the median of 20 by CUDA events, of the GPU alone: its queue is filled before it begins. What the
host takes to fill it stands beside that ("issue"). Both sides take the same Gaussians,
camera and gradient of the picture; how far their pictures are apart stands beside the times.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from importlib import import_module
from statistics import median
from typing import Any

import torch
from torch import Tensor

from scenekit.kernels import intersect, project
from scenekit.kernels.rasterize import RASTERIZE, RASTERIZE_BACKWARD
from scenekit.kernels.spherical_harmonics import harmonic_colors

REPETITIONS, WARM_UP, ISSUES = 20, 5, 10
CYCLES = 2e6  # of a GPU in a millisecond, at most
Render = Callable[["Scene"], tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Frame:
    """What is seen: how many Gaussians, of what median long sigma in pixels, in an image of what size."""

    gaussians: int
    size: tuple[int, int]
    sigma: float


FRAMES = (
    Frame(10_000, (648, 420), 6.0),
    Frame(100_000, (648, 420), 3.0),
    Frame(1_110_000, (648, 420), 1.2),
    Frame(1_000_000, (1920, 1080), 2.4),
)


@dataclass(frozen=True)
class Scene:
    """Gaussians that fill the view of a camera at the origin, all to be differentiated, and a picture's gradient."""

    parameters: tuple[Tensor, Tensor, Tensor, Tensor, Tensor]  # means, quaternions, scales, opacities, harmonics
    camera_from_world: Tensor
    intrinsics: Tensor
    size: tuple[int, int]
    seed: Tensor


def scene(frame: Frame, device: torch.device) -> Scene:
    """Generated on the CPU, so that every machine gets the same."""
    g = torch.Generator().manual_seed(0)
    count, (width, height) = frame.gaussians, frame.size
    focal = 0.8 * width
    depths = 2 + 4 * torch.rand(count, 1, generator=g)
    corners = (torch.rand(count, 2, generator=g) - 0.5) * torch.tensor(frame.size) / focal
    sizes = frame.sigma / focal * depths * torch.exp(0.6 * torch.randn(count, 1, generator=g))
    parameters = (
        torch.cat([corners * depths, depths], 1),
        torch.randn(count, 4, generator=g),
        sizes * torch.exp(-0.7 * torch.randn(count, 3, generator=g).abs()),
        torch.sigmoid(1.5 * torch.randn(count, generator=g) - 0.5),
        torch.randn(count, 16, 3, generator=g) * 0.2,
    )
    intrinsics = torch.tensor([focal, focal, width / 2, height / 2], device=device)
    seed = torch.randn(height, width, 3, generator=g).to(device)
    means, quaternions, scales, opacities, harmonics = (x.to(device).requires_grad_() for x in parameters)
    leaves = (means, quaternions, scales, opacities, harmonics)
    return Scene(leaves, torch.eye(4, device=device)[:3].contiguous(), intrinsics, frame.size, seed)


def ours(of: Scene) -> tuple[Tensor, Tensor]:
    """Picture and opacities [H W], as ``renderers/splats.py`` makes them."""
    means, quaternions, scales, opacities, harmonics = of.parameters
    flat = project(means, quaternions, scales, of.camera_from_world, of.intrinsics, of.size)
    colors = _colors(means, harmonics)
    with torch.no_grad():
        tiles = intersect(flat.means2d, flat.radii, flat.conics, opacities, flat.depths, of.size)
    lists = (tiles.gaussians, tiles.offsets)
    image, transmittances, _ = RASTERIZE(flat.means2d, flat.conics, opacities, colors, *lists, *of.size)
    return image, 1 - transmittances


def _colors(means: Tensor, harmonics: Tensor) -> Tensor:
    return (harmonic_colors(harmonics, torch.nn.functional.normalize(means, dim=-1), 3) + 0.5).clamp(min=0)


def gsplat(of: Scene) -> tuple[Tensor, Tensor]:
    """The same with gsplat's kernels, unpacked as its trainer runs them."""
    means, quaternions, scales, opacities, harmonics = of.parameters
    fx, fy, cx, cy = of.intrinsics.unbind()
    one, zero = torch.ones_like(fx), torch.zeros_like(fx)
    pinhole = torch.stack([fx, zero, cx, zero, fy, cy, zero, zero, one]).view(1, 3, 3)
    last = of.camera_from_world.new_tensor([[0.0, 0.0, 0.0, 1.0]])
    views = torch.cat([of.camera_from_world, last])[None]
    splats = (means, quaternions, scales, opacities, harmonics)
    image, alphas, _ = import_module("gsplat").rasterization(
        *splats, views, pinhole, *of.size, near_plane=0.01, eps2d=0.3, sh_degree=3, packed=False
    )
    return image[0], alphas[0, ..., 0]


def timed(body: Callable[[], object], device: torch.device, repetitions: int = REPETITIONS) -> float:
    """Median milliseconds; on a GPU of its work alone, which waits there until the host has issued all of it."""
    if device.type != "cuda":
        return median([_elapsed(body) for _ in range(WARM_UP + repetitions)][WARM_UP:])
    ahead = round((1.5 * (issued(body, device) or 0.0) + 0.1) * CYCLES)
    found = []
    for _ in range(repetitions):
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        torch.cuda._sleep(ahead)
        start.record()
        body()
        end.record()
        end.synchronize()
        found.append(start.elapsed_time(end))
    return median(found)


def issued(body: Callable[[], object], device: torch.device) -> float | None:
    """Median milliseconds that the host takes to issue the work to a GPU with nothing else to do; None without one."""
    if device.type != "cuda":
        return None
    found = []
    for _ in range(WARM_UP + ISSUES):
        torch.cuda.synchronize(device)
        found.append(_elapsed(body))
    torch.cuda.synchronize(device)
    return median(found[WARM_UP:])


def _elapsed(body: Callable[[], object]) -> float:
    began = time.perf_counter()
    body()
    return 1000 * (time.perf_counter() - began)


def whole(render: Render, of: Scene) -> dict[str, Any]:
    """Times of a renderer in ms, and its peak of memory in MiB above what the scene itself takes."""
    device = of.seed.device

    def forward() -> object:
        with torch.no_grad():
            return render(of)

    def both() -> object:
        return torch.autograd.grad(render(of)[0], of.parameters, of.seed)

    both()
    before = _memory(device)
    both()
    peak = None if before is None else (torch.cuda.max_memory_allocated(device) - before) / 2**20
    times = {"forward_ms": timed(forward, device), "both_ms": timed(both, device)}
    return {**times, "issue_ms": issued(both, device), "peak_mib": peak}


def _memory(device: torch.device) -> int | None:
    if device.type != "cuda":
        return None
    torch.cuda.reset_peak_memory_stats(device)
    return torch.cuda.memory_allocated(device)


def passes(of: Scene) -> dict[str, float]:
    """Ours, pass by pass: ms, and how many (Gaussian, tile) pairs there are."""
    with torch.no_grad():
        means, quaternions, scales, opacities, harmonics = (x.detach() for x in of.parameters)
        camera = (of.camera_from_world, of.intrinsics, of.size)
        flat = project(means, quaternions, scales, *camera)
        colors = _colors(means, harmonics)
        listing = (flat.means2d, flat.radii, flat.conics, opacities, flat.depths, of.size)
        tiles = intersect(*listing)
        arguments = (flat.means2d, flat.conics, opacities, colors, tiles.gaussians, tiles.offsets)
        _, *saved = RASTERIZE(*arguments, *of.size)
        seeds = (of.seed, torch.zeros_like(saved[0]))
        bodies: dict[str, Callable[[], object]] = {
            "project": lambda: project(means, quaternions, scales, *camera),
            "colors": lambda: _colors(means, harmonics),
            "intersect": lambda: intersect(*listing),
            "rasterize": lambda: RASTERIZE(*arguments, *of.size),
            "rasterize_backward": lambda: RASTERIZE_BACKWARD(*seeds, *arguments, *saved),
        }
        found = {f"{name}_ms": timed(body, of.seed.device) for name, body in bodies.items()}
    return {"pairs": len(tiles.gaussians), **found}


def apart(mine: Render, theirs: Render, of: Scene) -> dict[str, float]:
    """How far two renderers' pictures and gradients are apart."""
    found = []
    for render in (mine, theirs):
        image, _ = render(of)
        found.append((image.detach(), torch.autograd.grad(image, of.parameters, of.seed)))
    (a, gradients), (b, others) = found
    names = ("means", "quaternions", "scales", "opacities", "harmonics")
    angles = {
        f"{name}_gradient_cosine": float(torch.cosine_similarity(x.flatten().double(), y.flatten().double(), 0))
        for name, x, y in zip(names, gradients, others, strict=True)
    }
    difference = (a - b).abs().flatten()
    return {"psnr_db": float(-10 * torch.log10((a - b).square().mean().clamp_min(1e-30))),
            "largest_difference": float(difference.max()), **angles}  # fmt: skip


def missing(package: str, device: torch.device) -> str | None:
    """Why a peer cannot run; None where it can."""
    if device.type != "cuda":
        return "needs a GPU"
    try:
        import_module(package)
    except ImportError as error:
        return f"not installed: {error}"
    return None


def compare(frame: Frame, device: torch.device, peers: Mapping[str, Render]) -> dict[str, Any]:
    """Everything measured on one frame. A peer that fails is named with its error, and ours stands alone."""
    of = scene(frame, device)
    row: dict[str, Any] = {"frame": asdict(frame), "passes": passes(of), "ours": whole(ours, of)}
    for name, render in peers.items():
        try:
            row[name] = {**whole(render, of), "apart": apart(ours, render, of)}
        except (RuntimeError, ImportError, OSError) as error:
            row[name] = {"failed": str(error)[:500]}
            continue
        row[name]["ours_is_faster_by"] = row[name]["both_ms"] / row["ours"]["both_ms"]
    return row


def run(device: torch.device) -> dict[str, Any]:
    """The whole table, with machine and scope."""
    why = missing("gsplat", device)
    rows = [compare(frame, device, {} if why else {"gsplat": gsplat}) for frame in FRAMES]
    return {
        "scope": " ".join(str(__doc__).split("\n\n")[1].split()),
        "machine": torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU",
        "versions": {"torch": torch.__version__, "cuda": torch.version.cuda, "gsplat": why or _version("gsplat")},
        "rows": rows,
    }


def _version(package: str) -> str:
    return str(import_module(package).__version__)


def table(found: Mapping[str, Any]) -> str:
    """For people."""
    lines = [f"{found['machine']}, {found['versions']}"]
    for row in found["rows"]:
        frame, mine = row["frame"], row["ours"]
        width, height = frame["size"]
        lines.append(f"{frame['gaussians']} Gaussians, {width}x{height}, {row['passes']['pairs']} pairs")
        lines.append(
            "  ours by pass: " + ", ".join(f"{k[:-3]} {v:.3f}" for k, v in row["passes"].items() if k != "pairs")
        )
        for name in ("ours", "gsplat"):
            side = mine if name == "ours" else row.get(name)
            if side is None or "failed" in side:
                lines.append(f"  {name}: {'-' if side is None else side['failed']}")
                continue
            memory = "" if side["peak_mib"] is None else f", {side['peak_mib']:.0f} MiB"
            issue = "" if side["issue_ms"] is None else f" (issued in {side['issue_ms']:.3f})"
            line = f"  {name}: forward {side['forward_ms']:.3f} ms, both {side['both_ms']:.3f} ms{issue}{memory}"
            faster = side.get("ours_is_faster_by")
            lines.append(line if faster is None else f"{line}; ours is {faster:.2f} times as fast, {side['apart']}")
    return "\n".join(lines)
