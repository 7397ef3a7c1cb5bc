"""A run folder becomes a scene again, and a splat file becomes one."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from scenekit.assets.run import RECIPE, SCENE, read_recipe, read_scene
from scenekit.assets.splats.files import read_splats
from scenekit.core.bounds import Bounds
from scenekit.core.cameras import Cameras
from scenekit.core.checks import BadInput
from scenekit.core.cloud import PointCloud
from scenekit.core.protocols import Renderer
from scenekit.core.transforms import Similarity
from scenekit.recipes.background import BackgroundChoice
from scenekit.recipes.configs import from_plain, section
from scenekit.recipes.families import FAMILIES
from scenekit.recipes.family import Surroundings
from scenekit.recipes.fit import renderer_of
from scenekit.recipes.imported import scene_of_file
from scenekit.renderers.scene import Scene
from scenekit.representations import REPRESENTATIONS
from scenekit.representations.networks import OF_ENCODING


def load(path: str | Path) -> Scene:
    """The trained scene of a run folder, or the scene of a splat file with cameras made up around it.

    It is in main memory, wherever it was trained: ``sk.load(path).to("cuda")`` renders on a GPU.

    Raises BadInput for what is neither, or unfinished, or damaged.
    """
    if Path(path).is_file():
        return scene_of_file(read_splats(path))
    return load_run(Path(path))


def load_run(folder: Path) -> Scene:
    """The trained scene of a run folder; raises BadInput where it is none, unfinished or damaged."""
    recipe = read_recipe(folder)
    where = str(folder / RECIPE)
    weights, background_weights, cameras = read_scene(folder)
    frame = section(recipe, "scene", where)
    bounds = from_plain(Bounds, section(frame, "bounds", where), f"{where}: scene.bounds")
    scene_from_world = _placed(section(frame, "scene_from_world", where), where)
    if "signal" in recipe:
        renderer: Renderer = renderer_of(recipe, where)
    else:
        inside = cameras.moved(scene_from_world).to(dtype=torch.float32)
        renderer = _family_renderer(recipe, where, bounds, inside)
    background = from_plain(BackgroundChoice, section(frame, "background", where), where).build()
    try:
        renderer.load_state_dict(weights)
        background.load_state_dict(background_weights)
    except (RuntimeError, KeyError, ValueError) as error:
        raise BadInput.of(
            folder / SCENE,
            wanted="the weights that its recipe describes",
            found=" ".join(str(error).split()),
            remedy="restore the file or train again",
        ) from error
    return Scene(renderer, background, scene_from_world, cameras, bounds, recipe)


def _placed(values: dict[str, Any], where: str) -> Similarity:
    try:
        return Similarity.from_json(values)
    except ValueError as error:
        found = " ".join(str(error).split())
        raise BadInput.of(f"{where}: scene.scene_from_world", wanted="a scale, a rotation and a translation",
                          found=found, remedy="restore the recipe or train again") from error  # fmt: skip


def _family_renderer(recipe: Mapping[str, Any], where: str, bounds: Bounds, inside: Cameras) -> Renderer:
    representation, fitting = configs_of(recipe, where)
    # What is built is overwritten by the weights: one point spares a random start and its search for neighbours.
    around = Surroundings(bounds, inside, PointCloud(torch.zeros(1, 3), torch.zeros(1, 3)))
    try:
        return FAMILIES[representation.renderer].build(representation, fitting, around)
    except (ArithmeticError, LookupError, MemoryError, RuntimeError, TypeError, ValueError) as error:
        # A recipe is a stranger's: sizes and switches have the right types by now, but need not make sense.
        found = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        raise BadInput.of(where, wanted="a representation that can be built", found=found,
                          remedy="restore the recipe or train again") from error  # fmt: skip


def configs_of(recipe: Mapping[str, Any], where: str) -> tuple[Any, Any]:
    """The representation's config and its family's fitting options from a recipe."""
    name = recipe.get("representation", {}).get("name")
    if name not in REPRESENTATIONS:
        found = repr(name)
        raise BadInput.of(where, wanted=f"a representation among {sorted(REPRESENTATIONS)}", found=found,
                          remedy="use the scenekit that wrote it")  # fmt: skip
    kind = REPRESENTATIONS[name]
    config = from_plain(kind, section(recipe["representation"], "config", where), f"{where}: representation")
    fitting = from_plain(FAMILIES[kind.renderer].fitting, section(recipe, "family", where), f"{where}: family")
    return config, fitting


def recorded_conversion(run: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The recipe of a run, and of it how it is converted: ``teacher``, ``limits``, ``distilling``.

    Raises BadInput where the run is no conversion.
    """
    recipe, where = read_recipe(run), str(run / RECIPE)
    if "conversion" not in recipe:
        found, command = ("a fitted signal", "fit") if "signal" in recipe else ("a training", "train")
        raise BadInput.of(run, wanted="a conversion to continue", found=found,
                          remedy=f"continue it with scenekit {command} --resume")  # fmt: skip
    made = section(recipe, "conversion", where)
    if not isinstance(made.get("teacher"), str):
        raise BadInput.of(f"{where}: conversion", wanted="the folder of its teacher", found="none",
                          remedy="restore the recipe or convert again")  # fmt: skip
    section(recipe, "capture", where)
    return recipe, made | {part: section(made, part, where) for part in ("limits", "distilling")}


def in_common(name: str, teacher: Mapping[str, Any], where: str = RECIPE) -> dict[str, Any]:
    """Configs for a student as near to its teacher's as their types allow: equal blocks can be inherited.

    ``where`` names the teacher's recipe in messages. Raises BadInput for a fitted signal, which has no photographs to
    be seen from.
    """
    if "signal" in teacher:
        raise BadInput.of(where, wanted="a run that was trained on photographs, to convert", found="a fitted signal",
                          remedy="fit another one with scenekit fit -r REPRESENTATION")  # fmt: skip
    config, fitting = configs_of(teacher, where)
    kind = REPRESENTATIONS[name]
    usual, theirs = kind(), type(config)()
    shared = {
        item.name: _but_its_own(*(getattr(each, item.name) for each in (usual, theirs, config)))
        for item in dataclasses.fields(kind)
        if dataclasses.is_dataclass(getattr(usual, item.name))
        and type(getattr(config, item.name, None)) is type(getattr(usual, item.name))
    }
    student = config if type(config) is kind else kind(**shared)
    return {"representation": student} | ({"family": fitting} if config.renderer == kind.renderer else {})


def _but_its_own(student: Any, teacher: Any, chosen: Any) -> Any:
    """What was ``chosen`` for a teacher, except where the student's kind departs from what is usual for the type.

    Nor is what an encoding needs behind it taken over (:class:`~scenekit.representations.networks.Networks`), where it
    is the teacher's kind that departs.
    """
    plain = type(student)()

    def departs(kind: Any, name: str) -> bool:
        return getattr(kind, name) != getattr(plain, name)

    own = {
        item.name: getattr(student, item.name)
        for item in dataclasses.fields(student)
        if departs(student, item.name) or (item.metadata.get(OF_ENCODING) and departs(teacher, item.name))
    }
    return dataclasses.replace(chosen, **own)
