"""What held-out photographs lack is fitted with the scene frozen."""

import math
from dataclasses import replace

import pytest
import torch

from scenekit.core.transforms import Similarity, matrix_from_quaternion
from scenekit.data import Capture, synthetic
from scenekit.recipes import Fitting, prepare
from scenekit.recipes.configs import from_plain
from scenekit.recipes.families import FAMILIES
from scenekit.representations import REPRESENTATIONS
from scenekit.training.corrections.appearance import exposed
from scenekit.training.corrections.cameras import moved
from scenekit.training.evaluate import Score, over_white, psnr, scores, to_bytes
from scenekit.training.held_out import fitted_pose, fitted_stops, following, frozen, right_half
from scenekit.training.steps import steps
from tests.conformance.small import SMALL, SMALL_FAMILY


@pytest.fixture(scope="module")
def capture() -> Capture:
    return synthetic.make(views=16, size=(48, 48))


@pytest.mark.parametrize("name", ["gaussians", "hash_grid"])
def test_a_held_out_pose_that_was_off_is_found_and_the_scene_stays_as_it_is(name: str, capture: Capture) -> None:
    kind = REPRESENTATIONS[name]
    fitting = from_plain(FAMILIES[kind.renderer].fitting, SMALL_FAMILY[kind.renderer], name)
    session = prepare(capture, from_plain(kind, SMALL[name], name), Fitting(steps=400, seed=1), fitting)
    for _ in steps(session.training):
        pass
    scene, index = session.scene, capture.test[1]
    before = {key: value.clone() for key, value in scene.renderer.state_dict().items()}
    true = capture.cameras[index]
    turn = torch.tensor([[0.0, math.radians(1.5), 0.0]], dtype=torch.float64)
    wrong = replace(true, world_from_camera=moved(true.world_from_camera, turn, torch.zeros(1, 3)))
    found = fitted_pose(scene, wrong, capture.images[index])

    def judged(camera) -> float:
        return next(iter(scores(scene, camera, [capture.images[index]], ["view"]))).psnr

    assert judged(found) > judged(wrong) + 2
    assert judged(found) > judged(true) - 0.5
    assert all(torch.equal(value, before[key]) for key, value in scene.renderer.state_dict().items())


def test_frozen_parameters_learn_again_afterwards(capture: Capture) -> None:
    session = prepare(capture, from_plain(REPRESENTATIONS["hash_grid"], SMALL["hash_grid"], ""), Fitting(steps=1))
    renderer = session.scene.renderer
    with frozen(renderer):
        assert not any(p.requires_grad for g in renderer.parameter_groups() for p in g.parameters.values())
    assert all(p.requires_grad for g in renderer.parameter_groups() for p in g.parameters.values())


def test_held_out_cameras_follow_a_scene_that_moved_as_a_whole(capture: Capture) -> None:
    turn = matrix_from_quaternion(torch.tensor([1.0, 0.01, -0.02, 0.03], dtype=torch.float64))
    drift = Similarity(1.02, turn, torch.tensor([0.1, 0.0, -0.05], dtype=torch.float64))
    learnt = capture.cameras[list(capture.train)].moved(drift)
    held = capture.cameras[list(capture.test)]
    there = following(held, capture.cameras[list(capture.train)], learnt)
    torch.testing.assert_close(there.world_from_camera, held.moved(drift).world_from_camera)


def test_exposure_is_fitted_on_the_left_and_judged_on_the_right(capture: Capture) -> None:
    target = over_white(capture.images[0])
    stops = torch.tensor([-0.6, -0.5, -0.4])
    darker = to_bytes(exposed(target.float() / 255, stops))
    found = fitted_stops(darker.float() / 255, target.float() / 255)
    torch.testing.assert_close(found, -stops, atol=0.03, rtol=0)
    score = Score("view", 0.0, 0.0, darker)
    half = target.shape[1] // 2
    assert right_half(score, target, fit=False).psnr == psnr(darker[:, half:], target[:, half:])
    assert right_half(score, target, fit=True).psnr > 35
