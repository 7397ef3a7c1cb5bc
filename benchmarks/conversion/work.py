"""How each task is carried out, and what is noted of it."""

from __future__ import annotations

import gc
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from torch import nn

from benchmarks import record
from benchmarks.conversion.keep import keep, kept, note, noted
from benchmarks.conversion.tasks import Task
from scenekit.cli import convert as convert_options
from scenekit.cli import train as train_options
from scenekit.cli.options import parse, preset_arguments, take
from scenekit.core.checks import BadInput, TrainingDiverged
from scenekit.data import Capture, open_capture
from scenekit.distill.plan import Active
from scenekit.distill.report import milliseconds
from scenekit.kernels.gpu import compile as compiling
from scenekit.kernels.gpu import launch
from scenekit.recipes import Conversion, Converting, Fitting, Session, prepare, prepare_conversion
from scenekit.recipes.configs import VolumeFitting
from scenekit.recipes.device import device_name, device_of
from scenekit.recipes.kernels import foreseen
from scenekit.renderers.scene import Scene
from scenekit.representations import HashGrid
from scenekit.training.evaluate import scores
from scenekit.training.steps import Training, steps

REFUSED = (BadInput, TrainingDiverged, torch.OutOfMemoryError)
WARMING = 200  # steps of a small training and of a small conversion
LIMITS = (("--steps",), ("--minutes",), ("--target-psnr",))


@dataclass(frozen=True)
class Setting:
    """What all tasks of a process share.

    Attributes:
        output: where teachers are kept.
        device: as ``--device`` names it.
        downscale: of the photographs.
        views: held-out photographs that are judged, evenly spread; 0 for all.
    """

    output: Path
    device: str = "auto"
    downscale: float = 1.0
    views: int = 0

    def folder(self, task: Task) -> Path:
        """Of a teacher."""
        return self.output / "teachers" / re.sub(r"[^\w.]+", "-", task.name).strip("-")

    def has(self, teacher: Task) -> bool:
        """Whether it is kept, and whole."""
        return noted(self.folder(teacher)) is not None

    def scope(self, task: Task) -> str:
        """What figures of a task hold for."""
        views = f"{self.views or 'all'} held-out photographs"
        preset = task.subject.preset or "none"
        return f"{task.subject.capture}, downscale {self.downscale:g}, {views}; preset: {preset}; 8-bit sRGB"

    def capture(self, task: Task) -> Capture:
        """From the folder of captures; opened once."""
        return _opened(task.subject.capture, self.downscale)


def carried_out(task: Task, setting: Setting) -> dict[str, Any]:
    """The record of a task; one that is refused says why."""
    device = device_of(setting.device)
    if device.type == "cuda":
        warmed(setting.device)
    began = time.perf_counter()
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
    figures: dict[str, Any]
    try:
        figures = WORK[task.work](task, setting)
    except REFUSED as error:
        figures = {"refused": f"{type(error).__name__}: {error}"}
    if device.type == "cuda":
        figures["peak_gib"] = round(torch.cuda.max_memory_allocated(device) / 2**30, 3)
    return {
        "task": task.name,
        "capture": task.subject.capture,
        "preset": task.subject.preset,
        "work": task.work,
        "kinds": list(task.kinds),
        "allowed_seconds": task.seconds,
        "taught_seconds": task.taught,
        **figures,
        "task_seconds": round(time.perf_counter() - began, 1),
        "scope": setting.scope(task),
        "device": device_name(device),
        "machine": record.machine(),
    }


@cache
def warmed(device: str) -> None:
    """What a process loads once is no part of its first task: on a GPU that cost it three of twenty seconds."""
    capture, kind, small = open_capture("synthetic", downscale=4), HashGrid(log2_table=12), VolumeFitting(2**14)
    session = prepare(capture, kind, Fitting(steps=WARMING, device=device), small)
    for _ in steps(session.training):
        pass
    conversion = prepare_conversion(session.scene, kind, Converting(steps=WARMING, device=device), small)
    for _ in steps(conversion.training):
        pass


def _teacher(task: Task, setting: Setting) -> dict[str, Any]:
    """Trained, unless it is kept already; judged as it comes back."""
    folder = setting.folder(task)
    found = noted(folder)
    if found is not None:
        return found
    session, figures = _trained(task, setting)
    keep(folder, session.scene)
    del session
    figures |= _judged(_kept(task, setting), task, setting)
    note(folder, figures)
    return figures


def _scratch(task: Task, setting: Setting) -> dict[str, Any]:
    session, figures = _trained(task, setting)
    return figures | _judged(session.scene, task, setting)


def _convert(task: Task, setting: Setting) -> dict[str, Any]:
    conversion, figures = _converted(_teacher_of(task, setting), task.kinds[1], task, setting)
    return figures | _taught(task, setting) | _judged(conversion.scene, task, setting)


def _taught(task: Task, setting: Setting) -> dict[str, float]:
    """What the teacher reached."""
    assert task.teacher is not None
    return {"teacher_psnr": (noted(setting.folder(task.teacher)) or {})["psnr"]}


def _chain(task: Task, setting: Setting) -> dict[str, Any]:
    """Every student is the next one's teacher."""
    scene, links = _teacher_of(task, setting), []
    for kind in task.kinds[1:]:
        conversion, figures = _converted(scene, kind, task, setting)
        scene = conversion.scene
        links.append({"kind": kind} | figures | _judged(scene, task, setting))
    return _taught(task, setting) | {"links": links, "psnr": links[-1]["psnr"], "ssim": links[-1]["ssim"]}


WORK: dict[str, Callable[[Task, Setting], dict[str, Any]]] = {
    "teacher": _teacher, "scratch": _scratch, "convert": _convert, "passive": _convert, "chain": _chain,
}  # fmt: skip


def _teacher_of(task: Task, setting: Setting) -> Scene:
    assert task.teacher is not None
    if not setting.has(task.teacher):
        raise BadInput(f"{task.name}: wanted its teacher, found none that is whole; train it")
    return _kept(task.teacher, setting)


def _kept(task: Task, setting: Setting) -> Scene:
    return kept(setting.folder(task)).to(device_of(setting.device))


def _trained(task: Task, setting: Setting) -> tuple[Session, dict[str, Any]]:
    """From photographs, as ``scenekit train`` does it."""
    (kind,) = task.kinds
    limits = ["--minutes", str(task.seconds / 60), "--device", setting.device]
    arguments = [*but_limits(preset_arguments(task.subject.preset, kind)), *limits]
    options = parse(train_options.options_type(kind), "train", arguments)
    began = time.perf_counter()
    session = prepare(
        setting.capture(task), options.representation, options.fitting, options.family, options.supervision,
        cache=setting.output / "points",
    )  # fmt: skip
    prepared = time.perf_counter() - began
    figures = _stepped(session.training, session.scene)
    session.finish()
    return session, figures | {"preparation_seconds": round(prepared, 2)}


def _converted(teacher: Scene, kind: str, task: Task, setting: Setting) -> tuple[Conversion, dict[str, Any]]:
    """Without photographs, as ``scenekit convert`` does it; preparation is part of its seconds."""
    limits = ["--minutes", str(task.seconds / 60), "--device", setting.device, "--no-photographs"]
    preset = preset_arguments(task.subject.preset, kind, convert_options.GENERAL_KEYS)
    options = parse(convert_options.options_type(kind, dict(teacher.recipe)), "convert", [*but_limits(preset), *limits])
    distilling = options.distilling
    if task.work == "passive":
        distilling = replace(distilling, active=Active(poses=False, rays=False, points=False))
    _compiled(teacher)
    conversion = prepare_conversion(
        teacher, options.representation, options.converting, options.family, distilling=distilling
    )
    figures = _stepped(conversion.training, conversion.scene)
    conversion.finish()
    stages = {name: round(seconds, 2) for name, seconds in conversion.stage_seconds.items()}
    return conversion, figures | {"stages": stages, "inherited": list(conversion.inherited)}


def _stepped(training: Training, scene: Scene) -> dict[str, Any]:
    """Train to the end."""
    _compiled(scene)
    began, first, last = time.perf_counter(), 0.0, None
    for step in steps(training):
        first, last = first or time.perf_counter() - began, step
    if last is None:
        raise BadInput("wanted a step at least, found none; preparing took all of the time: allow more")
    if scene.device.type == "cuda":
        torch.cuda.synchronize(scene.device)
    return {
        "steps": training.index,
        "seconds": round(training.seconds, 2),
        "first_step_seconds": round(first, 2),
        "ms_per_step": round(1000 * (time.perf_counter() - began) / training.index, 3),
        "train_psnr": round(last.psnr, 2),
        last.unit: last.work,
    }


def _compiled(scene: Scene) -> None:
    """Wait for the kernels: what another machine has kept already is no part of the figures."""
    if scene.device.type == "cuda" and launch.available() and isinstance(scene.renderer, nn.Module):
        sources = foreseen(scene.renderer, launch.shared_memory(scene.device))
        for compiled in compiling.prepare(sources, launch.architecture(scene.device.index)):
            compiled.result()


def _judged(scene: Scene, task: Task, setting: Setting) -> dict[str, Any]:
    """Against held-out photographs."""
    capture = setting.capture(task)
    views = min(setting.views or len(capture.test), len(capture.test))
    if not views:
        raise BadInput.of(capture.name, wanted="held-out photographs", found="none", remedy="choose another capture")
    shown = [capture.test[i * len(capture.test) // views] for i in range(views)]
    images, names = [capture.images[i] for i in shown], [capture.names[i] for i in shown]
    with torch.no_grad():
        found = list(scores(scene, capture.cameras[shown], images, names))
        frame = milliseconds(scene, capture.cameras[shown[0]])
    groups = scene.renderer.parameter_groups()
    return {
        "psnr": round(fmean(view.psnr for view in found), 3),
        "ssim": round(fmean(view.ssim for view in found), 4),
        "views": views,
        "frame_ms": round(frame, 2),
        "frame_size": list(capture.cameras.sizes[shown[0]]),
        "parameters": sum(p.numel() for group in groups for p in group.parameters.values()),
    }


def but_limits(arguments: list[str]) -> list[str]:
    """A preset's flags without its own limits."""
    for flag in LIMITS:
        _, arguments = take(arguments, flag, None)
    return arguments


@cache
def _opened(name: str, downscale: float) -> Capture:
    path = Path(name) if name == "synthetic" or Path(name).exists() else record.data() / name
    return open_capture(path, downscale=downscale)
