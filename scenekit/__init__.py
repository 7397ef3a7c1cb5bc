"""Neural scenes from photographs: any representation behind one renderer.

::

    import scenekit as sk

    capture = sk.open_capture("fox", downscale=4)
    scene = sk.train(capture, sk.Gaussians(), steps=2000)
    picture = scene.render(capture.cameras[capture.test[0]]).color
    sk.export(scene, "fox.spz")
    sk.view(scene)
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Any

# torch's threads would otherwise spin between its operators while our own threads work, and on a shared machine
# every operator then waits for a thread that is not scheduled: training was several times slower. It takes
# effect where scenekit is imported before torch; whoever sets the variable is obeyed.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# What a step takes, it gives back, and the system clears every page of it before the next one has it: a quarter of the
# time of a million samples. Pages of two megabytes, which torch then asks for, are cleared in less than half of that.
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")

if TYPE_CHECKING:
    from scenekit.assets.exporters import export
    from scenekit.assets.meshes import Mesh, Meshing, mesh
    from scenekit.assets.web import export_web
    from scenekit.core.checks import BadInput
    from scenekit.data import Capture, open_capture
    from scenekit.data.signals import open_signal
    from scenekit.live import view
    from scenekit.recipes import convert, fit, load, train
    from scenekit.renderers.scene import Scene
    from scenekit.representations import RBF, DenseGrid, Gaussians, HashGrid, LowRank, Mlp, SimplexGrid, Triplane

_HOMES = {
    "BadInput": "scenekit.core.checks",
    "Capture": "scenekit.data",
    "DenseGrid": "scenekit.representations",
    "Gaussians": "scenekit.representations",
    "HashGrid": "scenekit.representations",
    "RBF": "scenekit.representations",
    "LowRank": "scenekit.representations",
    "Mlp": "scenekit.representations",
    "Scene": "scenekit.renderers.scene",
    "SimplexGrid": "scenekit.representations",
    "Triplane": "scenekit.representations",
    "convert": "scenekit.recipes",
    "export": "scenekit.assets.exporters",
    "export_web": "scenekit.assets.web",
    "fit": "scenekit.recipes",
    "load": "scenekit.recipes",
    "Mesh": "scenekit.assets.meshes",
    "Meshing": "scenekit.assets.meshes",
    "mesh": "scenekit.assets.meshes",
    "open_capture": "scenekit.data",
    "open_signal": "scenekit.data.signals",
    "train": "scenekit.recipes",
    "view": "scenekit.live",
}

__all__ = [
    "RBF",
    "BadInput",
    "Capture",
    "DenseGrid",
    "Gaussians",
    "HashGrid",
    "LowRank",
    "Mesh",
    "Meshing",
    "Mlp",
    "Scene",
    "SimplexGrid",
    "Triplane",
    "convert",
    "export",
    "export_web",
    "fit",
    "load",
    "mesh",
    "open_capture",
    "open_signal",
    "train",
    "view",
]


def __getattr__(name: str) -> Any:
    """Import a public name at first use, so that ``import scenekit`` alone is quick."""
    if name not in _HOMES:
        raise AttributeError(f"module 'scenekit' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
