"""Runs of strangers: damaged recipes are read, or refused in one sentence."""

from __future__ import annotations

import random
import tomllib
import warnings
from pathlib import Path

import pytest
import tomli_w

from scenekit.assets.run import RECIPE, write_recipe, write_scene
from scenekit.core.checks import BadInput
from scenekit.data import synthetic
from scenekit.recipes import load
from tests.conformance.small import small_session
from tests.fuzz.captures import changed


@pytest.fixture(scope="module", params=["gaussians", "hash_grid"])
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp(request.param) / "run"
    scene = small_session(request.param, synthetic.make(4, (8, 8)), 1).scene
    write_recipe(folder, scene.recipe)
    write_scene(folder, scene)
    return folder


@pytest.mark.bad_input
def test_damaged_recipes_are_read_or_refused(run: Path) -> None:
    good, chance, sentences = (run / RECIPE).read_bytes(), random.Random(3), []
    for _ in range(60):
        (run / RECIPE).write_bytes(changed(run / RECIPE, good, chance))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            try:
                load(run)
            except BadInput as error:
                sentences.append(str(error))
    (run / RECIPE).write_bytes(good)
    load(run)
    assert sentences
    assert not any("\n" in sentence for sentence in sentences)


HOSTILE = {
    "no scale": ("scene", "scene_from_world", {"rotation": [[1.0]], "translation": [0.0]}),
    "a flat rotation": ("scene", "scene_from_world", {"scale": 1.0, "rotation": [1.0], "translation": [0.0, 0.0, 0.0]}),
    "a scale of nothing": (
        "scene",
        "scene_from_world",
        {"scale": 0.0, "rotation": [[1.0, 0.0, 0.0]] * 3, "translation": [0.0, 0.0, 0.0]},
    ),
    "no such background": ("scene", "background", {"kind": "os.system", "color": [0.0, 0.0, 0.0]}),
    "a background of words": ("scene", "background", {"kind": "given", "color": ["red", 0.0, 0.0]}),
    "a background of one number": ("scene", "background", {"kind": "given", "color": [0.5]}),
}


@pytest.mark.bad_input
@pytest.mark.parametrize("name", HOSTILE)
def test_what_was_once_found_is_refused(name: str, run: Path) -> None:
    section, key, value = HOSTILE[name]
    good = (run / RECIPE).read_text()
    recipe = tomllib.loads(good)
    recipe[section][key] = value
    (run / RECIPE).write_text(tomli_w.dumps(recipe))
    try:
        with pytest.raises(BadInput, match=r"scene_from_world|background"):
            load(run)
    finally:
        (run / RECIPE).write_text(good)
