"""``scenekit doctor``: which backend serves each operator, what would make it faster, and what is not installed."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import torch

from scenekit.cli.options import parse
from scenekit.kernels import OPS, Op, native
from scenekit.kernels.adapters import adapted
from scenekit.kernels.choice import ours_serve
from scenekit.kernels.gpu import launch, mlp_half
from scenekit.kernels.gpu.compile import missing as compiler_missing

# What not every installation can do: the extra that brings it, and its modules.
OPTIONAL: dict[str, tuple[str, ...]] = {
    "photographs of phones (HEIC)": ("photos", "pillow_heif"),
    "linear pictures (EXR)": ("photos", "OpenEXR"),
    "meshes": ("mesh", "open3d", "trimesh", "xatlas"),
    "OpenUSD": ("usd", "pxr"),
}


@dataclass(frozen=True)
class Doctor:
    """How to report.

    Attributes:
        json: print one JSON object.
    """

    json: bool = False


def run(arguments: list[str]) -> None:
    """Say what serves."""
    options = parse(Doctor, "doctor", arguments, "Which backend serves each operator.")
    facts = examine()
    if options.json:
        print(json.dumps(facts))
        return
    print(f"torch {facts['torch']}, {facts['threads']} threads, {facts['processor']}")
    print(f"CPU library: {facts['cpu_library']}")
    print(f"GPU: {facts['gpu']}")
    if facts["gpu_networks"]:
        print(f"networks on the GPU: {facts['gpu_networks']}")
    for name, server in facts["operators"].items():
        print(f"  {name:32} {server:20} {facts['gpu_operators'].get(name, '')}".rstrip())
    for work, remedy in facts["optional"].items():
        print(f"  {work:32} {remedy or 'there'}")
    for advice in facts["advice"]:
        print(f"faster: {advice}")


def examine() -> dict[str, Any]:
    """Backends by operator, and advice."""
    compiled = native.library() is not None
    return {
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "processor": torch.backends.cpu.get_cpu_capability(),
        "cuda": torch.cuda.is_available(),
        "cpu_library": native.describe(),
        "gpu": _gpu(),
        "gpu_networks": _networks() if torch.cuda.is_available() else "",
        "operators": {name: _on_cpu(op, compiled=compiled) for name, op in OPS.items()},
        "gpu_operators": {name: _on_gpu(op) for name, op in OPS.items()} if torch.cuda.is_available() else {},
        "optional": {work: _remedy(*needs) for work, needs in OPTIONAL.items()},
        "advice": _advice(compiled),
    }


def _remedy(extra: str, *modules: str) -> str:
    """What to install for work that these modules do; nothing where all are there."""
    lacking = [module for module in modules if find_spec(module) is None]
    return f"needs {', '.join(lacking)}: pip install 'scenekit[{extra}]'" if lacking else ""


def _gpu() -> str:
    """The first GPU, or why there is none."""
    if not torch.cuda.is_available():
        if not torch.backends.cuda.is_built():
            return f"none: torch {torch.__version__} is built without CUDA"
        return "none: torch is built for CUDA, but finds no NVIDIA GPU, or no driver that is new enough"
    major, minor = torch.cuda.get_device_capability(0)
    return f"{torch.cuda.get_device_name(0)}, sm_{major}{minor}"


def _networks() -> str:
    """What the products of small networks are."""
    if mlp_half.allowed():
        return "half precision on tensor cores, sums in float32"
    always = os.environ.get("SCENEKIT_PRECISION", "") == "float32"
    return "exact float32" if always else "exact float32; in training half precision, sums in float32"


def _on_cpu(op: Op, *, compiled: bool) -> str:
    """Not every operator has a loop of its own: some are quick enough in torch."""
    if op.cpu is None:
        return "torch, as it should"
    return "C library, float32" if compiled else "torch reference"


def _on_gpu(op: Op) -> str:
    theirs = adapted().get(op.name)
    if theirs is not None:
        return theirs.server
    if op.cuda is None or not launch.available() or compiler_missing():
        return "torch reference"
    return f"CUDA, {', '.join(str(dtype).removeprefix('torch.') for dtype in op.cuda_dtypes)}"


def _advice(compiled: bool) -> list[str]:
    advice = []
    if not ours_serve():
        advice.append("unset SCENEKIT_KERNELS to use the compiled loops")
    elif not compiled:
        advice.append("install a C++ compiler (g++ or clang++) and reinstall scenekit")
    if torch.cuda.is_available():
        advice += [f"pip install {package}" for package in (*launch.missing(), *compiler_missing())]
    return advice
