"""Time of splatting on a GPU, ours and gsplat's on the same Gaussians in one run: part of ``benchmarks.rasterizer``.

A pass over the whole renderer (harmonics of degree 3, projection, lists, picture), one camera, forward as a picture is
shown and forward and back to every parameter as in training; then the loss that splats learn by. "wall" is the
median of 20 calls after 10, each with the GPU idle before and waited for after it, as a user calls it; "queued" the
time a call takes while the host is ahead of the GPU; "issue" what the host needs to ask for it; "kernels" the sum over
what runs on the GPU, by its profiler, where the host cannot be seen; "graph" a replay of a CUDA graph that captured the
call. Both sides take the same Gaussians, camera and gradient of the picture; how far their pictures are apart stands
beside the times.

gsplat compiles its kernels at its first call, for many minutes and without a word: it is measured where that has been
done, or is asked for.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor

from benchmarks import record
from benchmarks.clock import timed
from scenekit.core.cameras import Cameras
from scenekit.core.protocols import Context, ParameterGroup, Splats
from scenekit.kernels.gpu import launch
from scenekit.kernels.ssim import l1_dssim
from scenekit.renderers.splats import SplatRenderer

REPETITIONS, WARM_UP = 20, 10
QUEUE = 10  # calls behind one another
Body = Callable[[], object]
NAMES = ("means", "quaternions", "scales", "opacities", "constant harmonics", "other harmonics")


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

    parameters: tuple[Tensor, ...]  # in the order of Splats
    cameras: Cameras
    seed: Tensor

    def splats(self, cameras: Cameras, context: Context) -> Splats:
        """As :class:`~scenekit.core.protocols.Primitives`."""
        return Splats(*self.parameters, degree=3)

    def parameter_groups(self) -> list[ParameterGroup]:
        """None."""
        return []


def scene(frame: Frame, device: torch.device) -> Scene:
    """Generated on the CPU, so that every machine gets the same."""
    g = torch.Generator().manual_seed(0)
    count, (width, height) = frame.gaussians, frame.size
    focal = 0.8 * width
    depths = 2 + 4 * torch.rand(count, 1, generator=g)
    corners = (torch.rand(count, 2, generator=g) - 0.5) * torch.tensor(frame.size) / focal
    sizes = frame.sigma / focal * depths * torch.exp(0.6 * torch.randn(count, 1, generator=g))
    shapes = (
        torch.cat([corners * depths, depths], 1),
        torch.randn(count, 4, generator=g),
        sizes * torch.exp(-0.7 * torch.randn(count, 3, generator=g).abs()),
        torch.sigmoid(1.5 * torch.randn(count, generator=g) - 0.5),
    )
    harmonics = (torch.randn(count, 16, 3, generator=g) * 0.2).split([1, 15], 1)
    seed = torch.randn(height, width, 3, generator=g).to(device)
    leaves = tuple(x.contiguous().to(device).requires_grad_() for x in (*shapes, *harmonics))
    intrinsics = torch.tensor([[focal, focal, width / 2, height / 2]], device=device)
    return Scene(leaves, Cameras(torch.eye(4, device=device)[None, :3].contiguous(), intrinsics, (frame.size,)), seed)


class Ours:
    """The renderer as the trainer has it."""

    def __init__(self, of: Scene) -> None:
        self.renderer = SplatRenderer(of)
        self.cameras, self.leaves = of.cameras, of.parameters

    def picture(self, training: bool) -> Tensor:
        """[H W 3]; in training without depth, and with the room for lists that frames before it needed."""
        rendering = self.renderer.render(self.cameras, context=Context(training=training))
        if training and rendering.color.is_cuda and not torch.cuda.is_current_stream_capturing():
            self.renderer.note(rendering)
        return rendering.color[0]


class Gsplat:
    """The same with gsplat's kernels, unpacked as its trainer runs them; its coefficients lie in one array."""

    def __init__(self, of: Scene) -> None:
        with torch.no_grad():
            harmonics = torch.cat(of.parameters[4:], 1).requires_grad_()
        self.leaves = (*of.parameters[:4], harmonics)
        fx, fy, cx, cy = of.cameras.intrinsics[0].unbind()
        one, zero = torch.ones_like(fx), torch.zeros_like(fx)
        self.pinhole = torch.stack([fx, zero, cx, zero, fy, cy, zero, zero, one]).view(1, 3, 3)
        self.views = torch.eye(4, device=fx.device)[None]
        self.size = of.cameras.sizes[0]
        self.rasterization = import_module("gsplat").rasterization

    def picture(self, training: bool) -> Tensor:
        """[H W 3], in training; else with depth too, as ours."""
        image, _, _ = self.rasterization(
            *self.leaves, self.views, self.pinhole, *self.size, near_plane=0.01, eps2d=0.3, sh_degree=3, packed=False,
            render_mode="RGB" if training else "RGB+ED",
        )  # fmt: skip
        return image[0, ..., :3]


def waited(body: Body, device: torch.device) -> float:
    """Median milliseconds from before a call until the GPU has done it."""
    found = []
    for repetition in range(WARM_UP + REPETITIONS):
        _wait(device)
        began = time.perf_counter()
        body()
        _wait(device)
        if repetition >= WARM_UP:
            found.append(1000 * (time.perf_counter() - began))
    return median(found)


def queued(body: Body) -> tuple[float, float]:
    """Milliseconds a call takes on the GPU behind others, and those the host takes to ask for it.

    The GPU sleeps while the calls are asked for; where one waits for the GPU, as gsplat's do, it has to catch up.
    """
    body()
    torch.cuda.synchronize()
    start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    torch.cuda._sleep(200_000_000)
    start.record()
    began = time.perf_counter()
    for _ in range(QUEUE):
        body()
    issued = time.perf_counter() - began
    end.record()
    end.synchronize()
    return start.elapsed_time(end) / QUEUE, 1000 * issued / QUEUE


def kernels(body: Body, calls: int = QUEUE) -> dict[str, Any]:
    """What runs on the GPU in a call: milliseconds in all and of each kernel, and how many launches."""
    activities = [torch.profiler.ProfilerActivity.CPU, torch.profiler.ProfilerActivity.CUDA]
    with torch.profiler.profile(activities=activities) as profile:
        for _ in range(calls):
            body()
        torch.cuda.synchronize()
    found = [event for event in profile.key_averages() if "CUDA" in str(event.device_type)]
    times = {event.key: event.self_device_time_total / 1000 / calls for event in found}
    by_time = dict(sorted(times.items(), key=lambda item: -item[1]))
    return {
        "ms": sum(times.values()),
        "launches": sum(event.count for event in found) / calls,
        "each": {name[:90]: round(ms, 4) for name, ms in by_time.items()},
    }


def replayed(body: Body) -> float | str:
    """Milliseconds of a replay of the call captured in a graph; why it cannot be captured."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    try:
        with torch.cuda.stream(stream):
            for _ in range(3):
                body()
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            body()
    except RuntimeError as error:
        torch.cuda.synchronize()
        return str(error).split("\n", 1)[0][:200]
    return timed(graph.replay, torch.device("cuda"))


def peak(body: Body, device: torch.device) -> float | None:
    """MiB at most above what there was before."""
    if device.type != "cuda":
        return None
    body()
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    body()
    return (torch.cuda.max_memory_allocated(device) - before) / 2**20


def measured(body: Body, device: torch.device, *, graph: bool = False) -> dict[str, Any]:
    """Everything about a call."""
    row: dict[str, Any] = {"wall_ms": waited(body, device), "peak_mib": peak(body, device)}
    if device.type == "cuda":
        row["queued_ms"], row["issue_ms"] = queued(body)
        row["kernels"] = kernels(body)
        if graph:
            row["graph_ms"] = replayed(body)
    return row


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def whole(renderer: Ours | Gsplat, of: Scene, *, graph: bool = False) -> dict[str, Any]:
    """A renderer, forward and both ways."""

    def forward() -> object:
        with torch.no_grad():
            return renderer.picture(training=False)

    def both() -> object:
        return torch.autograd.grad(renderer.picture(training=True), renderer.leaves, of.seed)

    device = of.seed.device
    return {"forward": measured(forward, device), "both": measured(both, device, graph=graph)}


def apart(mine: Ours, theirs: Gsplat, of: Scene) -> dict[str, float]:
    """How far two renderers' pictures and gradients are apart."""
    found = []
    for renderer in (mine, theirs):
        image = renderer.picture(training=True)
        gradients = list(torch.autograd.grad(image, renderer.leaves, of.seed))
        if len(gradients) < len(NAMES):
            gradients[4:] = gradients[4].split([1, 15], 1)
        found.append((image.detach(), gradients))
    (a, gradients), (b, others) = found
    angles = {
        f"{name} gradient cosine": float(torch.cosine_similarity(x.flatten().double(), y.flatten().double(), 0))
        for name, x, y in zip(NAMES, gradients, others, strict=True)
    }
    difference = (a - b).abs().flatten()
    return {"psnr_db": float(-10 * torch.log10((a - b).square().mean().clamp_min(1e-30))),
            "largest_difference": float(difference.max()), **angles}  # fmt: skip


def missing(device: torch.device, *, build: bool) -> str | None:
    """Why gsplat does not run; None where it does. Its kernels are compiled here if they are to be."""
    if device.type != "cuda":
        return "needs a GPU"
    try:
        import_module("gsplat")
        if not build and not _is_built():
            return "its kernels are not compiled: --build-peer does that"
        if import_module("gsplat.cuda._backend")._C is None:
            return "its kernels cannot be compiled without a CUDA toolkit"
    except (ImportError, RuntimeError, OSError) as error:
        return f"not to be had: {str(error)[:200]}"
    return None


def _is_built() -> bool:
    """Whether gsplat has kernels of its own, or torch has compiled them."""
    if find_spec("gsplat.csrc") is not None:
        return True
    folder = import_module("torch.utils.cpp_extension")._get_build_directory("gsplat_cuda", False)
    return (Path(folder) / "gsplat_cuda.so").exists()


def compare(frame: Frame, device: torch.device, *, peer: bool) -> dict[str, Any]:
    """Everything measured on one frame. A peer that fails is named with its error, and ours stands alone."""
    of = scene(frame, device)
    mine = Ours(of)
    row: dict[str, Any] = {"frame": asdict(frame), "ours": whole(mine, of, graph=device.type == "cuda")}
    if not peer:
        return row
    try:
        theirs = Gsplat(of)
        row["gsplat"] = {**whole(theirs, of), "apart": apart(mine, theirs, of)}
    except (RuntimeError, ImportError, OSError) as error:
        row["gsplat"] = {"failed": str(error)[:500]}
    return row


def loss(device: torch.device, size: tuple[int, int] = (800, 800)) -> dict[str, Any]:
    """The loss over one picture of ``size`` and back to it."""
    g = torch.Generator().manual_seed(0)
    target = torch.rand(1, *size, 3, generator=g).to(device)
    image = (target + 0.1 * torch.randn(target.shape, generator=g).to(device)).requires_grad_()

    def both() -> object:
        l1, dssim = l1_dssim(image, target, 0.2)
        return torch.autograd.grad(l1 + dssim, image)

    return {"size": size, **measured(both, device, graph=device.type == "cuda")}


def run(device: torch.device, frames: tuple[Frame, ...] = FRAMES, *, build_peer: bool = False) -> dict[str, Any]:
    """The whole table, with machine and scope; what is done is told on standard error."""
    if device.type == "cuda" and not launch.available():
        raise SystemExit("rasterizer: wanted a GPU that our kernels serve on; references would take hours")
    began, rows = time.perf_counter(), []
    why = missing(device, build=build_peer)
    print(f"gsplat {why or 'is measured, too'}; after {time.perf_counter() - began:.1f} s", file=sys.stderr, flush=True)
    for frame in frames:
        rows.append(compare(frame, device, peer=why is None))
        print(f"{frame}: done after {time.perf_counter() - began:.1f} s", file=sys.stderr, flush=True)
    return {
        "scope": " ".join(str(__doc__).split("\n\n")[1].split()),
        "machine": torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU",
        "versions": {"torch": torch.__version__, "cuda": torch.version.cuda, "gsplat": why or _version("gsplat")},
        "rows": rows,
        "loss": loss(device),
    }


def keep(found: Mapping[str, Any]) -> None:
    """Into ``results/rasterizer.json``: times with the host ahead, and what a pass takes beside what there was."""
    for row in found["rows"]:
        frame, figures = row["frame"], {}
        for side in ("ours", "gsplat"):
            for way in ("forward", "both"):
                of = row.get(side, {}).get(way, {})
                parts = {"ms": of.get("queued_ms"), "wall_ms": of.get("wall_ms"), "peak_mib": of.get("peak_mib")}
                parts["kernels_ms"] = of.get("kernels", {}).get("ms")
                figures |= {f"{side}_{way}_{name}": round(x, 4) for name, x in parts.items() if x is not None}
        width, height = frame["size"]
        scope = {"device": found["machine"], "gsplat": found["versions"]["gsplat"], "scope": found["scope"]}
        record.keep("rasterizer", f"{frame['gaussians']} at {width}x{height}", {**frame, **figures, **scope})


def _version(package: str) -> str:
    return str(import_module(package).__version__)


def table(found: Mapping[str, Any]) -> str:
    """For people."""
    lines = [f"{found['machine']}, {found['versions']}"]
    for row in found["rows"]:
        width, height = row["frame"]["size"]
        lines.append(f"{row['frame']['gaussians']} Gaussians, {width}x{height}")
        for name in ("ours", "gsplat"):
            side = row.get(name, {})
            if "failed" in side:
                lines.append(f"  {name}: {side['failed']}")
            for way in ("forward", "both"):
                lines += [f"  {name} {way}: {_line(side[way])}"] if way in side else []
            if "apart" in side:
                ours, theirs = row["ours"]["both"], side["both"]
                ratios = ", ".join(f"{k} {theirs[k] / ours[k]:.2f}" for k in ("wall_ms", "queued_ms"))
                kernel = theirs["kernels"]["ms"] / ours["kernels"]["ms"]
                lines.append(f"  ours is faster by: {ratios}, kernels {kernel:.2f}; apart: {side['apart']}")
        each = row["ours"]["both"].get("kernels", {}).get("each", {})
        lines += [f"      {ms:.4f} {name}" for name, ms in list(each.items())[:25]]
    lines.append(f"loss {found['loss']['size']}: {_line(found['loss'])}")
    return "\n".join(lines)


def _line(of: Mapping[str, Any]) -> str:
    parts = [f"wall {of['wall_ms']:.3f} ms"]
    parts += [f"{name} {of[f'{name}_ms']:.3f}" for name in ("queued", "issue") if f"{name}_ms" in of]
    if "kernels" in of:
        parts.append(f"kernels {of['kernels']['ms']:.3f} in {of['kernels']['launches']:.0f} launches")
    if "graph_ms" in of:
        graph = of["graph_ms"]
        parts.append(f"graph {graph:.3f}" if isinstance(graph, float) else f"no graph: {graph}")
    return ", ".join(parts + ([] if of["peak_mib"] is None else [f"{of['peak_mib']:.0f} MiB"]))
