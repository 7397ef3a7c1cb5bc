"""What each command will take of main memory for a run, a file or a capture, on a CPU: ``scenekit info --plan``.

A command holds its scene some times over, numbers for each pixel of the largest picture that it renders, and perhaps
photographs. How often and how many is measured (``python -m benchmarks.command_memory``); sizes are the data's own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from scenekit.assets import usd
from scenekit.assets.run import RECIPE, SCENE, read_recipe
from scenekit.assets.splats.files import codec_of, is_splats, read_splats
from scenekit.assets.verify import MOST_VIEWS
from scenekit.core.checks import BadInput
from scenekit.data import Capture, open_capture, open_recorded
from scenekit.data.memory import memory_in_reach
from scenekit.data.signals import SIGNALS
from scenekit.data.signals.volume import SYNTHETIC
from scenekit.distill.pictures import FEWEST, MOST_PIXELS
from scenekit.distill.plan import Distilling
from scenekit.distill.plan import plan as plan_stages
from scenekit.recipes.export_plans import baked_parts, surfaces
from scenekit.recipes.families import FAMILIES
from scenekit.recipes.imported import SIZE, scene_of_file
from scenekit.recipes.load import in_common, load_run
from scenekit.recipes.memory import (
    PROCESS,
    Plan,
    blank,
    bytes_of_opening,
    bytes_of_photographs,
    conversion_plan,
    largest,
    training_plan,
)
from scenekit.recipes.process import lacks_poses
from scenekit.recipes.source_plans import fitting_plan, registration_plan
from scenekit.renderers.scene import Scene
from scenekit.renderers.splats import SplatRenderer
from scenekit.representations import REPRESENTATIONS

FLOAT = 4
SEEN = 18  # floats of a pixel while a picture is joined from its parts and laid over its background
COLOR = 3  # floats of a pixel of a picture that is kept
USUAL_SIZE = (640, 360)  # of films
WINDOW = (1280, 720)  # of a browser that looks at a scene
VIEWER = 30 * 2**20  # bytes of what serves it
SENT = 1.5  # pictures at a time there: one is still on its way while the next is made


@dataclass(frozen=True)
class Use:
    """What a command has in memory at its peak, besides itself.

    Attributes:
        scene: copies of all that the scene keeps, as it is read, rendered and written.
        pixels: of the largest picture that it renders.
        views: pictures that it keeps, to hold others against them.
        photographs: bytes of those that it holds.
        opening: bytes that it takes meanwhile to decode them.
        libraries: bytes of what it loads for a format.
    """

    scene: float
    pixels: int = 0
    views: int = 0
    photographs: float = 0.0
    opening: float = 0.0
    libraries: float = 0.0

    def plan(self, scene: float, limit: float) -> Plan:
        """With a scene of so many bytes."""
        held = self.scene * scene
        pictures = FLOAT * (SEEN + (COMPARED + COLOR * self.views if self.views else 0)) * self.pixels
        parts = {"photographs": self.photographs, "opening them": self.opening, "the scene": held,
                 "pictures": pictures, "the process": PROCESS + self.libraries}  # fmt: skip
        return Plan({name: size for name, size in parts.items() if size}, limit)


READ_FILE, READ_RUN = 0.95, 2.0  # copies: the Gaussians while they are read; the weights, and the modules they go into
SHOWN = 2.1
# Copies of Gaussians where they are written in a format, which some make of whole tables first.
WRITTEN = {
    ".ply": 2.3,
    ".compressed.ply": 7.4,
    ".spz": 7.9,
    ".sogc": 4.6,
    ".sog": 4.6,
    ".glb": 3.3,
    ".splat": 2.7,
    ".html": 4.0,
    ".usdc": 4.3,
    ".usda": 12.8,
    ".usdz": 4.3,
}
USD_LIBRARY = 75 * 2**20  # bytes, once it is loaded
# Copies where Gaussians are edited and all of them stay, before anything is written; what is merged is as many again.
EDITED = {
    "--crop": 4.2,
    "--translate": 3.2,
    "--rotate": 5.0,
    "--resize": 3.4,
    "--prune": 4.3,
    "--merge": 6.3,
    "--budget": 4.1,
    "--degree": 3.1,
}
STREAMED = 12 * 2**20  # bytes of what is read, edited and written at a time, from .ply to .ply
ALLOWED = {".spz": 8.1, ".sog": 7.1, ".sogc": 6.4}  # copies where the steps of a file are found by pictures
VERIFIED = 6.4  # copies while a file that was read back is held against the scene, part by part
COMPARED = 38  # floats of a pixel while a picture of such a file is held against the scene's own


def plans_for(path: str) -> dict[str, Plan]:
    """By command; raises BadInput where ``path`` is nothing that a command takes."""
    place, limit = Path(path), float(memory_in_reach())
    if (place / RECIPE).exists():
        return _of_run(place, limit)
    if place.is_file() and is_splats(place):
        file = read_splats(place)
        size = FLOAT * file.cloud.floats()
        scene = scene_of_file(file)
        uses = {"info": Use(READ_FILE), "import": Use(SHOWN)} | _of_splats()
        uses |= _judged(Use(0, SIZE[0] * SIZE[1], min(MOST_VIEWS, len(scene.cameras))))
        if codec_of(place) == "ply":
            uses["export streamed"] = Use(0, libraries=STREAMED)
        planned = {name: use.plan(size, limit) for name, use in uses.items()}
        looked = surfaces(scene)
        return planned | {name: Plan({"the scene": SHOWN * size, **parts}, limit) for name, parts in looked.items()}
    if str(path) in SYNTHETIC or (place.is_file() and any(kind.sniff(place) for kind in SIGNALS.values())):
        return {"fit": fitting_plan(path, limit)}
    if place.is_dir() and lacks_poses(place):
        return {"process": registration_plan(place, limit)}
    capture = open_capture(path)
    return {
        f"train -r {name}": training_plan(capture, kind(), FAMILIES[kind.renderer].fitting(), limit)
        for name, kind in REPRESENTATIONS.items()
    }


def _of_splats() -> dict[str, Use]:
    """What is done with Gaussians."""
    exports = {
        f"export {extension}": Use(copies, libraries=USD_LIBRARY if extension in usd.SUFFIXES else 0)
        for extension, copies in WRITTEN.items()
    }
    edits = {f"export {verb}": Use(copies) for verb, copies in EDITED.items()}
    shown = {
        "render": Use(SHOWN, USUAL_SIZE[0] * USUAL_SIZE[1]),
        "view": Use(SHOWN, round(SENT * WINDOW[0] * WINDOW[1]), libraries=VIEWER),
    }
    return {**shown, **exports, **edits}


def _judged(judging: Use) -> dict[str, Use]:
    """Files that are verified or as small as a loss allows, by what ``judging`` holds besides the scene."""
    allowed = {f"export --allow-loss {kind}": replace(judging, scene=copies) for kind, copies in ALLOWED.items()}
    return {"export --verify": replace(judging, scene=VERIFIED), **allowed}


def _of_run(run: Path, limit: float) -> dict[str, Plan]:
    """A scene that was trained on photographs; judged against them where they are still there."""
    recipe = read_recipe(run)
    if "signal" in recipe:
        raise BadInput.of(run, wanted="a run that was trained on photographs", found="a fitted signal",
                          remedy="plan others")  # fmt: skip
    scene = load_run(run)
    pixels = largest(scene.cameras)
    uses = {"info": Use(READ_RUN)}
    capture = _photographs(recipe["capture"])
    judging = Use(SHOWN, pixels, min(MOST_VIEWS, len(scene.cameras)))
    if capture is not None:
        judging = Use(
            SHOWN,
            largest(capture.cameras),
            min(MOST_VIEWS, len(capture.test) or len(capture)),
            bytes_of_photographs(capture),
            bytes_of_opening(capture),
        )
        uses["evaluate"] = replace(judging, views=0)
    shown = _of_splats()
    size = (run / SCENE).stat().st_size
    looked: dict[str, dict[str, float]] = {}
    if not isinstance(scene.renderer, SplatRenderer):
        shown = {name: shown[name] for name in ("render", "view")}
        looked["export .html"] = baked_parts(scene)
    else:
        shown |= _judged(judging)
    planned = {name: use.plan(size, limit) for name, use in (uses | shown).items()}
    looked |= surfaces(scene)
    planned |= {name: Plan({"the scene": SHOWN * size, **parts}, limit) for name, parts in looked.items()}
    return planned | {f"convert --to {name}": _conversion(scene, name, capture, limit) for name in REPRESENTATIONS}


def _conversion(teacher: Scene, name: str, capture: Capture | None, limit: float) -> Plan:
    """With the options that it begins with where none is given."""
    start = in_common(name, teacher.recipe)
    kind = REPRESENTATIONS[name]
    representation = start.get("representation", kind())
    fitting = start.get("family", FAMILIES[kind.renderer].fitting())
    student = blank(representation, fitting, teacher.bounds, teacher.cameras_in_scene(teacher.cameras))
    shared = plan_stages(teacher.renderer, student, Distilling()).shared
    looks = 0 if shared else max(FEWEST, min(len(teacher.cameras), MOST_PIXELS // max(1, largest(teacher.cameras))))
    return conversion_plan(teacher, student, (representation, fitting), capture, looks, limit)


def _photographs(source: Mapping[str, Any]) -> Capture | None:
    """The capture of a run, as it is opened to judge; None where it has gone."""
    try:
        return open_recorded(source)
    except BadInput:
        return None
