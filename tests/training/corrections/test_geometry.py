"""Measured depth and normals as supervision."""

from dataclasses import replace

import pytest
import torch

from scenekit.core.cameras import Cameras, Pixels, every_pixel, look_at
from scenekit.core.checks import BadInput
from scenekit.core.protocols import Batch, Rendering
from scenekit.data import Capture, synthetic
from scenekit.kernels.rays import rays_of
from scenekit.recipes import Supervision
from scenekit.recipes.corrections import corrections_of, views_of
from scenekit.training.batches import PixelBatches
from scenekit.training.corrections import DepthPrior, NormalPrior
from scenekit.training.corrections.geometry import unprojected

SIZE = (12, 9)


def camera() -> Cameras:
    pose = look_at(torch.tensor([2.0, -1.0, 1.5]), torch.zeros(3), torch.tensor([0.0, 0.0, 1.0]))
    return Cameras(pose[None], torch.tensor([[14.0, 14, 6, 4.5]]), (SIZE,), view_ids=torch.tensor([0]))


def plane_depth(normal: torch.Tensor) -> torch.Tensor:
    """Depth along z of the plane through the origin."""
    rays = rays_of(camera(), every_pixel(camera()))
    distance = -(rays.origins @ normal) / (rays.directions @ normal)
    return (distance * rays.z_per_distance).reshape(1, SIZE[1], SIZE[0])


def image_batch(**measured: torch.Tensor) -> Batch:
    return Batch(camera(), None, torch.zeros(1, SIZE[1], SIZE[0], 3), **measured)


def shown(depth: torch.Tensor) -> Rendering:
    return Rendering(torch.zeros(*depth.shape, 3), torch.ones_like(depth), depth)


def test_right_depth_costs_nothing_and_unmeasured_pixels_do_not_count() -> None:
    depth = plane_depth(torch.tensor([0.0, 0.0, 1.0]))
    prior = DepthPrior(1, 1.0, invariant=False)
    assert float(prior.loss(shown(depth), image_batch(depth=depth))["depth"]) == pytest.approx(0, abs=1e-6)
    measured = depth.clone()
    measured[0, :, 0] = 0
    rendered = depth.clone()
    rendered[0, :, 0] = 77.0
    assert float(prior.loss(shown(rendered), image_batch(depth=measured))["depth"]) == pytest.approx(0, abs=1e-6)
    assert float(prior.loss(shown(2 * depth), image_batch(depth=depth))["depth"]) == pytest.approx(0.5, abs=1e-5)


def test_pixels_that_are_not_believed_have_no_depth_either() -> None:
    depth = plane_depth(torch.tensor([0.0, 0.0, 1.0]))
    nowhere = torch.zeros_like(depth, dtype=torch.bool)
    prior = DepthPrior(1, 1.0, invariant=False)
    batch = replace(image_batch(depth=depth), valid=nowhere)
    assert float(prior.loss(shown(2 * depth), batch)["depth"]) == 0


def test_depth_up_to_scale_and_shift_is_aligned() -> None:
    depth = plane_depth(torch.tensor([0.0, 0.2, 1.0]))
    prior = DepthPrior(1, 1.0, invariant=True)
    disparity = 3.0 / depth + 0.2
    optimizer = torch.optim.Adam([prior.log_scales, prior.shifts], lr=0.02)
    for _ in range(400):
        optimizer.zero_grad()
        loss = prior.loss(shown(depth), image_batch(depth=1 / disparity))["depth"]
        loss.backward()
        optimizer.step()
    assert float(loss) < 0.02
    assert float(prior.log_scales.exp()) == pytest.approx(1 / 3, rel=0.1)


def test_the_gradient_moves_depth_towards_what_was_measured() -> None:
    depth = plane_depth(torch.tensor([0.0, 0.0, 1.0]))
    rendered = (depth * 1.2).requires_grad_()
    DepthPrior(1, 1.0, invariant=False).loss(shown(rendered), image_batch(depth=depth))["depth"].backward()
    assert rendered.grad is not None
    assert (rendered.grad > 0).all()


@pytest.mark.parametrize("direction", [(0.0, 0.0, 1.0), (0.3, -0.4, 1.0)])
def test_normals_of_a_plane_are_its_own_in_images_and_in_triples(direction: tuple[float, float, float]) -> None:
    normal = torch.nn.functional.normalize(torch.tensor(direction), dim=0)
    depth = plane_depth(normal)
    prior = NormalPrior(1.0)
    wanted = normal.expand(1, SIZE[1], SIZE[0], 3)
    assert float(prior.loss(shown(depth), image_batch(normals=wanted))["normals"]) == pytest.approx(0, abs=1e-5)
    assert float(prior.loss(shown(depth), image_batch(normals=-wanted))["normals"]) == pytest.approx(2, abs=1e-5)
    index = torch.tensor([15, 16, 15 + SIZE[0], 40, 41, 40 + SIZE[0]])
    positions = every_pixel(camera()).positions[index]
    pixels = Pixels(torch.zeros(6, dtype=torch.int64), positions)
    batch = Batch(camera(), pixels, torch.zeros(6, 3), normals=wanted[0, :2, :3].reshape(6, 3), triples=True)
    assert float(prior.loss(shown(depth.flatten()[index]), batch)["normals"]) == pytest.approx(0, abs=1e-5)


def test_unprojected_points_lie_at_the_depth() -> None:
    depth = plane_depth(torch.tensor([0.0, 0.0, 1.0]))
    points = unprojected(depth, image_batch())
    torch.testing.assert_close(points[..., 2], torch.zeros(1, SIZE[1], SIZE[0]), atol=1e-5, rtol=0)


@pytest.fixture(scope="module")
def capture() -> Capture:
    return synthetic.make(views=8, size=(24, 24))


def test_measured_depth_reaches_batches_in_scene_units(capture: Capture) -> None:
    views = views_of(capture, Supervision(depth_weight=0.1))
    assert views.depths is not None
    assert capture.depths is not None
    torch.testing.assert_close(views.depths[0], capture.depths[capture.train[0]] * capture.scene_from_world.scale)
    from scenekit.core.protocols import Context

    batch = PixelBatches(views, 4096).next(Context(generator=torch.Generator().manual_seed(0)))
    assert batch.depth is not None
    assert batch.depth.shape == batch.target.shape[:1]
    assert len(corrections_of(capture, Supervision(depth_weight=0.1), "pixels")) == 1


@pytest.mark.bad_input
def test_depth_in_another_unit_is_refused_before_training(capture: Capture) -> None:
    assert capture.depths is not None
    wrong = replace(capture, depths=tuple(depth * 1000 for depth in capture.depths))
    with pytest.raises(BadInput, match="wanted depth in world units"):
        views_of(wrong, Supervision(depth_weight=0.1))
    assert views_of(wrong, Supervision(depth_weight=0.1, depth="invariant")).depths is not None


@pytest.mark.bad_input
def test_supervision_that_the_capture_cannot_give_is_refused(capture: Capture) -> None:
    with pytest.raises(BadInput, match="wanted measured normals for --normal-weight"):
        views_of(capture, Supervision(normal_weight=0.1))
    with pytest.raises(BadInput, match="--reference: wanted the name of a training photograph"):
        corrections_of(capture, Supervision(appearance="exposure", reference="nobody.jpg"), "images")
