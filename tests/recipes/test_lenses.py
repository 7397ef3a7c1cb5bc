"""Training through lenses, from capture to run and back."""

from pathlib import Path

import pytest
import torch

from scenekit.assets.run import write_recipe, write_scene
from scenekit.core.cameras import Cameras
from scenekit.core.lenses import Lens
from scenekit.data import synthetic
from scenekit.recipes import Fitting, load, prepare
from scenekit.recipes.configs import from_plain
from scenekit.recipes.families import FAMILIES
from scenekit.representations import REPRESENTATIONS
from scenekit.training.evaluate import scores
from scenekit.training.steps import steps
from tests.conformance.test_representations import SMALL, SMALL_FAMILY


@pytest.mark.parametrize("name", ["gaussians", "hash_grid"])
def test_a_scene_learnt_through_a_fisheye_looks_right_through_a_pinhole_and_survives_its_file(
    name: str, tmp_path: Path
) -> None:
    lens = Lens.of("equidistant", k1=0.1, k2=-0.02)
    capture = synthetic.make(views=16, size=(48, 48), lens=lens)
    plain = synthetic.make(views=16, size=(48, 48))
    kind = REPRESENTATIONS[name]
    fitting = from_plain(FAMILIES[kind.renderer].fitting, SMALL_FAMILY[kind.renderer], name)
    session = prepare(capture, from_plain(kind, SMALL[name], name), Fitting(steps=250, seed=1), fitting)
    for _ in steps(session.training):
        pass

    def judged(cameras: Cameras, images) -> float:
        held = list(capture.test)
        found = scores(session.scene, cameras[held], [images[i] for i in held], ["view"] * len(held))
        return sum(score.psnr for score in found) / len(held)

    assert judged(capture.cameras, capture.images) > 19
    assert judged(plain.cameras, plain.images) > 19
    write_recipe(tmp_path, session.scene.recipe)
    write_scene(tmp_path, session.scene)
    again = load(tmp_path)
    assert again.cameras.lenses == capture.cameras.lenses
    camera = capture.cameras[0]
    assert torch.equal(again.render(camera).color, session.scene.render(camera).color)
