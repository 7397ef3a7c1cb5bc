"""What benchmarks share: commands as a user types them, the machine they ran on, results that are kept by row."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from scenekit.assets.atomic import replacing

FOLDER = Path(__file__).parent / "results"


def data() -> Path:
    """The folder of captures; leaves with a sentence where none is named."""
    found = os.environ.get("SCENEKIT_DATA")
    if found is None:
        sys.exit("SCENEKIT_DATA: wanted the folder of captures, found nothing; set it")
    return Path(found)


def call(*arguments: str) -> dict[str, Any]:
    """One scenekit command in a process of its own; its standard output is one JSON object."""
    command = [sys.executable, "-m", "scenekit", *arguments]
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    return json.loads(output)


def machine() -> dict[str, Any]:
    """What a figure holds for: processor, versions, commit."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    models = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return {
        "processor": next(models, platform.processor()),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "python": platform.python_version(),
        "torch": _version("torch"),
        "scenekit": _version("scenekit"),
        "commit": commit(),
    }


def _version(package: str) -> str:
    """A folder of sources has none."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "unknown"


def commit() -> str:
    """Of the sources beside this file, with a mark where they were changed since."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    done = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


def write(file: Path, figures: Mapping[str, Any]) -> None:
    """Figures in a file of their own, with the machine, for whoever wants them elsewhere than beside the others."""
    with replacing(file) as temporary:
        temporary.write_text(json.dumps({**figures, "machine": machine()}, indent=2) + "\n")


def read(name: str) -> dict[str, Any]:
    """The rows of a results file and what else it holds; no rows where there is none yet."""
    file = FOLDER / f"{name}.json"
    return json.loads(file.read_text()) if file.exists() else {"rows": {}}


def keep(name: str, row: str, figures: Mapping[str, Any]) -> None:
    """Put a row into a results file, with the machine, and print each figure beside the one that stood there."""
    results = read(name)
    old = results["rows"].get(row, {})
    for key, value in figures.items():
        if isinstance(value, int | float) and not isinstance(value, bool):
            print(f"{row:28} {key:24} {value:>14g}   before: {old.get(key, 'nothing')}")
    results["rows"][row] = {**figures, "machine": machine()}
    FOLDER.mkdir(exist_ok=True)
    with replacing(FOLDER / f"{name}.json") as file:
        file.write_text(json.dumps(results, indent=2) + "\n")
