"""``scenekit doctor``: which backend serves each operator, and what would make it faster."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import Any

import torch

from scenekit.cli.options import parse
from scenekit.kernels import OPS, native


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
    for name, server in facts["operators"].items():
        print(f"  {name:32} {server}")
    for advice in facts["advice"]:
        print(f"faster: {advice}")


def examine() -> dict[str, Any]:
    """Backends by operator, and advice."""
    compiled = native.library() is not None
    operators = {
        name: "C library, float32" if compiled and op.cpu is not None else "torch reference" for name, op in OPS.items()
    }
    return {
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "processor": torch.backends.cpu.get_cpu_capability(),
        "cuda": torch.cuda.is_available(),
        "cpu_library": native.describe(),
        "operators": operators,
        "advice": _advice(compiled),
    }


def _advice(compiled: bool) -> list[str]:
    advice = []
    if os.environ.get("SCENEKIT_KERNELS", "").lower() == "reference":
        advice.append("unset SCENEKIT_KERNELS to use the compiled loops")
    elif not compiled:
        advice.append("install a C++ compiler (g++ or clang++) and reinstall scenekit")
    if torch.cuda.is_available():
        advice.append("this machine has a GPU that this version does not use yet")
    return advice
