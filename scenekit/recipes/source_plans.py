"""What commands take of main memory that begin with files: fitting a signal, placing the cameras of photographs."""

from __future__ import annotations

from pathlib import Path

from scenekit.data.decode import find_photographs, image_size
from scenekit.data.registration.settings import Settings, tries
from scenekit.data.signals import open_signal
from scenekit.data.signals.surface import POOL
from scenekit.recipes.export_plans import MESH_LIBRARIES
from scenekit.recipes.fit import SignalFitting, field_of
from scenekit.recipes.memory import COPIES, PROCESS, Plan
from scenekit.recipes.point_plans import MATCHER
from scenekit.recipes.signals import default_representation
from scenekit.training.points import PROBE

READ = 7 / 3  # times the bytes of a signal while it is read: a picture has four bytes a pixel then, besides its three
POINT_FLOATS = 100  # of a point on its way through a field and back
POOLED = 48  # bytes of a point about a surface: its place, its distance, and where it was drawn
SOUGHT = 620  # bytes of a pixel in which features are looked for: twice as large, in octaves


def fitting_plan(path: str, limit: float) -> Plan:
    """Of ``fit`` with what suits the signal."""
    signal = open_signal(path)
    surface = signal.facts.kind == "surface"
    learnt = field_of(default_representation(signal.facts), signal.facts, SignalFitting(), None)
    kept = float(sum(parameter.nbytes for parameter in learnt.parameters()))
    held = float(POOLED * POOL if surface else signal.nbytes)
    parts = {
        "the signal": held,
        "parameters": COPIES * kept,
        "a step": float(4 * POINT_FLOATS * PROBE),
        "the process": PROCESS + (MESH_LIBRARIES if surface else 0),
    }
    reading = {"the signal": READ * held, "the process": PROCESS}
    return Plan(max(parts, reading, key=lambda each: sum(each.values())), limit)


def registration_plan(photographs: Path, limit: float) -> Plan:
    """Of ``process``, whose peak is the search for features in one photograph after another."""
    files = find_photographs(photographs)
    side = tries(Settings(), len(files), in_time=False)[0].side
    width, height = max((image_size(file) for file in files), key=lambda size: size[0] * size[1])
    shrink = min(1.0, side / max(width, height))
    return Plan({"a photograph": SOUGHT * shrink**2 * width * height, "the process": PROCESS + MATCHER}, limit)
