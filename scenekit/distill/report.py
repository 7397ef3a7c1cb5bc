"""What a conversion won and lost: pictures, depth, size and speed, before and after."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from scenekit.core.cameras import Cameras
from scenekit.renderers.scene import Scene
from scenekit.training.evaluate import psnr, scores, structural_similarity, to_bytes

SOLID = 0.5  # opacity of both from which on depths are compared
TIMED = 3  # frames; the median counts
SHOWN = 3  # views whose pictures are kept


@dataclass(frozen=True)
class Photographed:
    """Held-out photographs, in ``world``."""

    cameras: Cameras
    images: Sequence[UInt8[Tensor, "_H _W _C"]]
    names: Sequence[str]


@dataclass
class Measured:
    """Figures, and the pictures that show them.

    Attributes:
        figures: as they go to ``report.json``.
        pictures: rows of (name, teacher, student, and their difference four times as strong).
    """

    figures: dict[str, Any]
    pictures: list[tuple[str, Tensor, Tensor, Tensor]] = field(default_factory=list)


def measure(teacher: Scene, student: Scene, cameras: Cameras, photographs: Photographed | None = None) -> Measured:
    """Compare two scenes of one world from ``cameras`` (in ``world``), and both with photographs if there are any."""
    rows, pictures = [], []
    for index in range(len(cameras)):
        camera = cameras[index]
        theirs, ours = teacher.render(camera), student.render(camera)
        first, second = to_bytes(theirs.color[0]), to_bytes(ours.color[0])
        solid = (theirs.opacity > SOLID) & (ours.opacity > SOLID)
        row = {"psnr": psnr(second, first), "ssim": structural_similarity(second, first)}
        if theirs.depth is not None and ours.depth is not None and bool(solid.any()):
            row["depth"] = relative_depth_error(ours.depth[solid], theirs.depth[solid])
        rows.append(row)
        if index < SHOWN:
            pictures.append((f"view {index + 1}", first, second, _amplified(first, second)))
    figures: dict[str, Any] = {
        "student_against_teacher": _means(rows) | {"views": len(rows)},
        "teacher": facts(teacher, cameras),
        "student": facts(student, cameras),
    }
    if photographs is not None:
        judged = {name: _judged(scene, photographs) for name, scene in (("teacher", teacher), ("student", student))}
        for name, values in judged.items():
            figures[f"{name}_against_photographs"] = values
        figures["psnr_lost"] = judged["teacher"]["psnr"] - judged["student"]["psnr"]
    return Measured(figures, pictures)


def facts(scene: Scene, cameras: Cameras) -> dict[str, Any]:
    """Kind, bytes, learnt numbers, and milliseconds for one frame of the first camera."""
    groups = scene.renderer.parameter_groups()
    state = {**scene.renderer.state_dict(), **scene.background.state_dict()}
    return {
        "representation": scene.recipe["representation"]["name"],
        "parameters": sum(p.numel() for group in groups for p in group.parameters.values()),
        "bytes": sum(tensor.numel() * tensor.element_size() for tensor in state.values()),
        "milliseconds_per_frame": milliseconds(scene, cameras[0]),
        "frame": list(cameras.sizes[0]),
    }


def milliseconds(scene: Scene, camera: Cameras) -> float:
    """Median of some frames, after one that warms up."""
    times = []
    for _ in range(TIMED + 1):
        started = time.perf_counter()
        scene.render(camera)
        if scene.device.type == "cuda":
            torch.cuda.synchronize(scene.device)
        times.append(1000 * (time.perf_counter() - started))
    return statistics.median(times[1:])


def relative_depth_error(found: Float[Tensor, " P"], wanted: Float[Tensor, " P"]) -> float:
    """Median of ``|found - wanted| / wanted``."""
    return float(((found - wanted).abs() / wanted.clamp(min=1e-9)).median())


def _judged(scene: Scene, photographs: Photographed) -> dict[str, Any]:
    found = list(scores(scene, photographs.cameras, photographs.images, photographs.names))
    rows = [{"psnr": score.psnr, "ssim": score.ssim} for score in found]
    return _means(rows) | {"views": len(rows)}


def _means(rows: Sequence[dict[str, float]]) -> dict[str, float]:
    keys = {key: None for row in rows for key in row}
    return {key: statistics.fmean(row[key] for row in rows if key in row) for key in keys}


def _amplified(first: UInt8[Tensor, "H W 3"], second: UInt8[Tensor, "H W 3"]) -> UInt8[Tensor, "H W 3"]:
    difference = (first.int() - second.int()).abs() * 4
    return difference.clamp(max=255).to(torch.uint8)
