"""A run is a folder: ``recipe.toml``, ``scene.safetensors``, ``metrics.jsonl``, ``checkpoints/``, ``renders/``."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tomli_w
import torch
from torch import Tensor

from scenekit.assets.atomic import remove_whole, replacing
from scenekit.assets.lock import LOCK
from scenekit.assets.state import read_state, write_state
from scenekit.assets.tensors import read_tensors, write_tensors
from scenekit.core.cameras import Cameras
from scenekit.core.checks import BadInput
from scenekit.core.lenses import KINDS, PINHOLE, Lens
from scenekit.renderers.scene import Scene
from scenekit.training.steps import Training

FORMAT = "scenekit-run"
VERSION = 1
RECIPE = "recipe.toml"
SCENE = "scene.safetensors"
METRICS = "metrics.jsonl"
CHECKPOINTS_KEPT = 2


def require_new(run: Path) -> None:
    """Raises BadInput where something already stands at ``run``: nothing that exists is written over.

    Triangulated points alone are what a refused training leaves, and serve the next; a lock is the caller's own.
    """
    if run.exists() and (not run.is_dir() or any(not _is_left(file) for file in run.iterdir())):
        raise BadInput.of(
            run,
            wanted="a new folder",
            found="one with files in it" if run.is_dir() else "a file",
            remedy="choose another with -o, or continue it with --resume",
        )


def _is_left(file: Path) -> bool:
    return file.name.startswith("points-") or file.name == LOCK


def inside(run: Path, name: str) -> Path:
    """``name`` in a run; raises BadInput where a link leads out of the run, so that nothing else is written to."""
    place = run / name
    if not place.resolve().is_relative_to(run.resolve()):
        raise BadInput.of(
            place, wanted="a place in the run itself", found=f"a link to {place.resolve()}", remedy="remove the link"
        )
    return place


def write_recipe(run: Path, recipe: Mapping[str, Any]) -> None:
    """Write everything needed to build the scene's renderer again."""
    with replacing(run / RECIPE) as file:
        file.write_text(tomli_w.dumps({"format": FORMAT, "version": VERSION, **recipe}))


def read_recipe(run: Path) -> dict[str, Any]:
    """The recipe of a run; raises BadInput where it is no run, or one of an unknown version."""
    file = run / RECIPE
    if not file.is_file():
        raise BadInput.of(
            run, wanted=f"a run folder with {RECIPE}", found="none", remedy="give the folder that train wrote"
        )
    try:
        recipe = tomllib.loads(file.read_text())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadInput.of(file, wanted="a recipe in TOML", found=str(error), remedy="restore the file") from error
    if recipe.get("format") != FORMAT or recipe.get("version") != VERSION:
        found = f"format {recipe.get('format')!r}, version {recipe.get('version')!r}"
        raise BadInput.of(
            file,
            wanted=f"format '{FORMAT}', version {VERSION}",
            found=found,
            remedy="use the scenekit that wrote it",
        )
    return recipe


def write_scene(run: Path, scene: Scene) -> None:
    """Write the weights and the cameras, moved into place when whole."""
    tensors = {f"renderer.{name}": tensor for name, tensor in scene.renderer.state_dict().items()}
    tensors |= {f"background.{name}": tensor for name, tensor in scene.background.state_dict().items()}
    tensors |= {
        "cameras.world_from_camera": scene.cameras.world_from_camera,
        "cameras.intrinsics": scene.cameras.intrinsics,
        "cameras.sizes": torch.tensor(scene.cameras.sizes, dtype=torch.int64).reshape(-1, 2),
    }
    if scene.cameras.lenses is not None:
        kinds = [-1 if lens is None else KINDS.index(lens.kind) for lens in scene.cameras.lenses]
        distortions = [(lens or PINHOLE).distortion for lens in scene.cameras.lenses]
        tensors |= {
            "cameras.lens_kinds": torch.tensor(kinds),
            "cameras.distortions": torch.tensor(distortions, dtype=torch.float64),
        }
    with replacing(run / SCENE) as file:
        write_tensors(file, tensors)


def read_scene(run: Path) -> tuple[dict[str, Tensor], dict[str, Tensor], Cameras]:
    """Renderer state, background state and cameras of a run; raises BadInput where they are missing."""
    file = run / SCENE
    if not file.is_file():
        raise BadInput.of(
            file, wanted="a trained scene", found="none yet", remedy="finish it with scenekit train --resume"
        )
    tensors = read_tensors(file)
    wrong = next(
        (name for name, tensor in tensors.items() if tensor.is_floating_point() and tensor.isnan().any()), None
    )
    if wrong is not None:
        raise BadInput.of(file, wanted=f"numbers in {wrong}", found="NaN", remedy="train again or restore the file")

    def part(prefix: str) -> dict[str, Tensor]:
        return {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}

    cameras = part("cameras.")
    try:
        sizes = tuple((int(w), int(h)) for w, h in cameras["sizes"])
        views = Cameras(cameras["world_from_camera"], cameras["intrinsics"], sizes, lenses=_lenses(cameras))
    except (KeyError, IndexError) as error:
        raise BadInput.of(file, wanted=f"cameras.{error.args[0]}", found="none", remedy="train again") from error
    return part("renderer."), part("background."), views


def _lenses(cameras: Mapping[str, Tensor]) -> tuple[Lens | None, ...] | None:
    if "lens_kinds" not in cameras:
        return None
    rows = zip(cameras["lens_kinds"].tolist(), cameras["distortions"].tolist(), strict=True)
    return tuple(None if kind < 0 else Lens(KINDS[kind], tuple(distortion)) for kind, distortion in rows)


def write_checkpoint(run: Path, step: int, state: Mapping[str, Any]) -> None:
    """Keep the state of training after ``step`` steps, and the one before it.

    Others are removed afterwards: older ones, and those of steps that are still to come, which training has gone
    back behind because they were damaged.
    """
    with replacing(inside(run, "checkpoints") / f"step-{step:08d}") as folder:
        write_state(folder, state)
    for other in checkpoints(run):
        if step_of(other) > step:
            remove_whole(other)
    for old in checkpoints(run)[:-CHECKPOINTS_KEPT]:
        remove_whole(old)


def read_checkpoint(run: Path) -> dict[str, Any]:
    """The newest whole checkpoint; raises BadInput where there is none, with what is wrong with the newest."""
    found = checkpoints(run)
    if not found:
        raise BadInput.of(run, wanted="a checkpoint to resume from", found="none", remedy="train without --resume")
    damage: BadInput | None = None
    for folder in reversed(found):
        try:
            return read_state(folder)
        except BadInput as error:
            damage = damage or error
    assert damage is not None
    raise damage


def continue_training(run: Path, training: Training) -> None:
    """Put the newest whole checkpoint of ``run`` into ``training``, which was built by the run's recipe.

    A run that was ended before its first checkpoint begins again. Raises BadInput where checkpoints are damaged,
    or of another recipe.
    """
    if not checkpoints(run) and not (run / SCENE).exists():
        return
    try:
        training.load_state_dict(read_checkpoint(run))
    except (KeyError, ValueError, TypeError, RuntimeError, AttributeError) as error:
        if isinstance(error, BadInput):
            raise
        raise BadInput.of(
            run / "checkpoints",
            wanted="a checkpoint of the training that the recipe describes",
            found=" ".join(str(error).split()),
            remedy="restore the recipe it was made with",
        ) from error
    wrong = training.not_finite()
    if wrong is not None:
        raise BadInput.of(run / "checkpoints", wanted=f"finite numbers in {wrong}", found="NaN or infinity",
                          remedy="remove the newest checkpoint")  # fmt: skip


def checkpoints(run: Path) -> list[Path]:
    """Checkpoint folders, oldest first."""
    return sorted(folder for folder in (run / "checkpoints").glob("step-*") if folder.name[5:].isdecimal())


def step_of(checkpoint: Path) -> int:
    """After how many steps a checkpoint was taken."""
    return int(checkpoint.name.removeprefix("step-"))
