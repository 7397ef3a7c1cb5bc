"""Poses and intrinsics learnt with the scene."""

import math
from dataclasses import replace

import pytest
import torch

from scenekit.core.cameras import Cameras, every_pixel
from scenekit.core.protocols import Context
from scenekit.core.transforms import Similarity
from scenekit.data import Capture, synthetic
from scenekit.recipes import Fitting, Supervision, prepare
from scenekit.recipes.configs import from_plain
from scenekit.recipes.families import FAMILIES
from scenekit.recipes.train import corrected_cameras
from scenekit.representations import REPRESENTATIONS
from scenekit.training.corrections import Intrinsics, Poses
from scenekit.training.corrections.cameras import moved
from scenekit.training.steps import steps
from tests.conformance.small import SMALL, SMALL_FAMILY

KINDS = ["gaussians", "hash_grid"]


@pytest.fixture(scope="module")
def capture() -> Capture:
    return synthetic.make(views=16, size=(48, 48))


def session_of(capture: Capture, name: str, supervision: Supervision, count: int):
    kind = REPRESENTATIONS[name]
    fitting = from_plain(FAMILIES[kind.renderer].fitting, SMALL_FAMILY[kind.renderer], name)
    config = from_plain(kind, SMALL[name], name)
    return prepare(capture, config, Fitting(steps=count, seed=1), fitting, supervision)


def test_a_small_turn_is_a_rotation_by_its_length_about_the_cameras_own_centre() -> None:
    pose = torch.eye(4)[None, :3]
    pose[..., 3] = torch.tensor([1.0, 2, 3])
    angle = 0.02
    turned = moved(pose, torch.tensor([[0.0, angle, 0.0]]), torch.tensor([[0.5, 0.0, 0.0]]))
    torch.testing.assert_close(turned[0, :, 3], torch.tensor([1.5, 2.0, 3.0]))
    torch.testing.assert_close(turned[0, :, 2], torch.tensor([math.sin(angle), 0, math.cos(angle)]), atol=1e-5, rtol=0)
    torch.testing.assert_close(turned[0, :, :3] @ turned[0, :, :3].T, torch.eye(3), atol=1e-6, rtol=0)


def test_cameras_of_no_photograph_stay_where_they_are() -> None:
    poses = Poses(3)
    with torch.no_grad():
        poses.turns.fill_(0.1)
    free = Cameras(torch.eye(4)[None, :3], torch.tensor([[9.0, 9, 8, 8]]), ((16, 16),))
    assert poses.cameras(free) is free


@pytest.mark.parametrize("name", KINDS)
def test_the_gradient_of_a_shift_is_that_of_finite_differences(name: str, capture: Capture) -> None:
    """After some training, so that there is something to see; the loss is smooth enough over a tenth of a pixel."""
    session = session_of(capture, name, Supervision(), 300)
    for _ in steps(session.training):
        pass
    renderer = session.scene.renderer
    camera = session.scene.cameras_in_scene(capture.cameras)[4]
    target = capture.images[4][..., :3].float() / 255 * (capture.images[4][..., 3:].float() / 255)

    def loss(shift: torch.Tensor) -> torch.Tensor:
        there = replace(camera, world_from_camera=moved(camera.world_from_camera, torch.zeros(1, 3), shift))
        pixels = every_pixel(camera) if name == "hash_grid" else None
        # The same jitter every time, so that samples stand at the same distances.
        context = Context(True, torch.Generator().manual_seed(0))
        color = renderer.render(there, pixels, context=context).color.reshape(target.shape)
        return (color - target).square().sum()

    shift = torch.tensor([[0.02, -0.02, 0.02]], requires_grad=True)  # off the optimum, where the slope is steep
    loss(shift).backward()
    assert shift.grad is not None
    direction = shift.grad / shift.grad.norm()
    width = 5e-3
    with torch.no_grad():
        slope = (loss(shift + width * direction) - loss(shift - width * direction)) / (2 * width)
    assert float(slope) == pytest.approx(float(shift.grad.norm()), rel=0.25)


@pytest.mark.parametrize("name", KINDS)
def test_perturbed_poses_come_back(name: str, capture: Capture) -> None:
    generator = torch.Generator().manual_seed(5)
    turns = torch.nn.functional.normalize(torch.randn(len(capture), 3, generator=generator), dim=-1) * math.radians(1)
    shifts = torch.nn.functional.normalize(torch.randn(len(capture), 3, generator=generator), dim=-1) * 0.03
    poses = moved(capture.cameras.world_from_camera, turns.double(), shifts.double())
    wrong = replace(capture, cameras=replace(capture.cameras, world_from_camera=poses))
    session = session_of(wrong, name, Supervision(refine_poses=True), 600)
    for _ in steps(session.training):
        pass
    found = corrected_cameras(session)
    chosen = list(capture.train)
    before = reprojection_error(capture, wrong.cameras[chosen])
    after = reprojection_error(capture, found[chosen])
    assert before > 1  # pixels
    assert after < 0.5 * before
    held_out = list(capture.test)
    assert torch.equal(found[held_out].world_from_camera, wrong.cameras[held_out].world_from_camera)


def reprojection_error(capture: Capture, found: Cameras) -> float:
    """Mean distance in pixels between where surface points are seen and where ``found`` training cameras see them.

    After the best similarity, since a scene may turn and shift with all its cameras.
    """
    true = capture.cameras[list(capture.train)]
    assert capture.points is not None
    aligned = found.moved(Similarity.between(found.centres, true.centres))
    points = capture.points.positions[::20]
    return float((projected(aligned, points) - projected(true, points)).norm(dim=-1).mean())


def projected(cameras: Cameras, points: torch.Tensor) -> torch.Tensor:
    camera_from_world = cameras.camera_from_world
    local = points @ camera_from_world[..., :3].transpose(-1, -2) + camera_from_world[..., 3][:, None]
    return local[..., :2] / local[..., 2:] * cameras.intrinsics[:, None, :2] + cameras.intrinsics[:, None, 2:]


def test_intrinsics_get_gradients_through_both_renderers(capture: Capture) -> None:
    for name in KINDS:
        session = session_of(capture, name, Supervision(refine_intrinsics=True), 30)
        for _ in steps(session.training):
            pass
        lens = session.corrections[0]
        assert isinstance(lens, Intrinsics)
        assert lens.log_focal.detach().any()
        assert lens.principal.detach().any()
        assert lens.log_focal.detach().abs().max() < 0.05
        found = corrected_cameras(session).intrinsics
        torch.testing.assert_close(found[:, 0], capture.cameras.intrinsics[:, 0] * lens.log_focal[0].exp().item())
