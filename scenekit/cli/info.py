"""``scenekit info RUN|FILE|CAPTURE``: what is in it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from scenekit.assets.meshes.files import describe_mesh, is_mesh
from scenekit.assets.meshes.points import describe_points, is_points
from scenekit.assets.run import RECIPE, SCENE, checkpoints
from scenekit.assets.splats.files import is_splats, read_splats
from scenekit.cli import demo
from scenekit.cli.options import parse
from scenekit.data import open_capture
from scenekit.recipes import load
from scenekit.recipes.fit import facts_of
from scenekit.recipes.memory import Plan
from scenekit.recipes.plans import plans_for

MIB = 2**20


@dataclass(frozen=True)
class Info:
    """What to describe.

    Attributes:
        path: a run folder, a file of splats, a mesh or points, or a capture; to plan for, also photographs or a signal.
        plan: say instead what each command will take of main memory for it, on a CPU.
        json: print one JSON object.
    """

    path: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN|FILE|CAPTURE")]
    plan: bool = False
    json: bool = False


def run(arguments: list[str]) -> None:
    """Describe a run, a file or a capture."""
    options = parse(Info, "info", arguments, "What is in a run, a file or a capture.")
    if options.plan:
        shown = {"demo": demo.plan()} if options.path == demo.CAPTURE else {}
        _print_plans(shown | plans_for(options.path), as_json=options.json)
        return
    facts = describe(options.path)
    if options.json:
        print(json.dumps(facts))
        return
    for key, value in facts.items():
        print(f"{key:18} {value if not isinstance(value, list) else ', '.join(map(str, value))}")


def _print_plans(plans: Mapping[str, Plan], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps({name: round(plan.total) for name, plan in plans.items()}))
        return
    width = max(map(len, plans))
    for name, plan in plans.items():
        parts = ", ".join(f"{part} {size / MIB:.0f}" for part, size in plan.parts.items())
        print(f"{name:{width}} {plan.total / MIB:8.0f} MiB   ({parts})")


def describe(path: str) -> dict[str, Any]:
    """Plain facts about whatever is at ``path``; raises BadInput where it is nothing that we know."""
    place = Path(path)
    if (place / RECIPE).exists():
        return describe_run(place)
    if place.is_file() and is_mesh(place):
        return describe_mesh(place)
    if place.is_file() and is_points(place):
        return describe_points(place)
    if place.is_file() and is_splats(place):
        return read_splats(place).describe()
    return open_capture(path).describe()


def describe_run(folder: Path) -> dict[str, Any]:
    """Representation, parameters, bytes and cameras of a run."""
    scene = load(folder)
    parameters = {
        name: tensor.numel() for group in scene.renderer.parameter_groups() for name, tensor in group.parameters.items()
    }
    facts = {
        "run": str(folder),
        "representation": scene.recipe["representation"]["name"],
        "parameters": sum(parameters.values()),
        "bytes": (folder / SCENE).stat().st_size,
    }
    if "signal" in scene.recipe:
        signal = facts_of(scene.recipe, str(folder / RECIPE))
        return facts | {"signal": signal.kind, "file": signal.path, "dimensions": signal.dimensions,
                        "channels": signal.channels, "size": list(signal.size),
                        "checkpoints": len(checkpoints(folder))}  # fmt: skip
    return facts | {
        "cameras": len(scene.cameras),
        "extent": scene.bounds.extent,
        "contracted": scene.bounds.contracted,
        "capture": scene.recipe["capture"]["path"],
        "checkpoints": len(checkpoints(folder)),
    }
