"""Splats and rays at the edge of what there is: exact expectations."""

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from scenekit.core.cameras import Cameras
from scenekit.core.protocols import Context, Splats
from scenekit.kernels.ray_cube import ray_cube
from scenekit.renderers.splats import SplatRenderer
from tests.renderers.test_splats import BACK, BLUE, FRONT, RED, Given, camera, splats

BLUR = 0.3  # of the pixel filter, in squared pixels
MIDDLE = (0, 12, 16)  # the pixel whose centre all cameras here look at


def shown(given: Splats, cameras: Cameras | None = None) -> Tensor:
    """Colours and opacity [.. H W 4], finite; and a training step's gradients through them."""
    means = given.means.clone().requires_grad_()
    rendering = SplatRenderer(Given(replace(given, means=means))).render(cameras or camera(), context=Context(True))
    rendering.color.sum().backward()
    assert means.grad is None or means.grad.isfinite().all()
    picture = torch.cat([rendering.color, rendering.opacity[..., None]], -1).detach()
    assert picture.isfinite().all()
    return picture


def test_a_splat_without_extent_is_the_pixel_filter_alone() -> None:
    picture = shown(splats(FRONT[None], RED[None], scale=0.0))
    for across in (0, 1, 2):
        alpha = 0.9 * math.exp(-0.5 * across**2 / BLUR)
        expected = alpha if alpha >= 1 / 255 else 0.0
        assert float(picture[0, 12, 16 + across, 3]) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("scale", [1e3, 1e6])
def test_a_splat_without_end_covers_every_pixel_evenly(scale: float) -> None:
    picture = shown(splats(FRONT[None], RED[None], scale=scale))
    torch.testing.assert_close(picture[..., 3], torch.full_like(picture[..., 3], 0.9), atol=1e-3, rtol=0)


@pytest.mark.parametrize("depth", [-1e-3, -1.0, -1e6])
def test_splats_behind_the_camera_and_in_its_plane_are_not_seen(depth: float) -> None:
    behind = torch.tensor([0.0, 0.0, -4.0 + depth])
    assert not shown(splats(behind[None], RED[None])).any()
    assert not shown(splats(torch.tensor([[0.0, 0.0, -4.0]]), RED[None])).any()


@pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf, 1e30])
@pytest.mark.parametrize("part", ["means", "scales", "opacities", "quaternions"])
def test_a_splat_of_no_numbers_leaves_what_is_before_it_as_it_was(part: str, wrong: float) -> None:
    """Colours are not among these: a scene that holds NaN is refused where it is read, a step where it is made."""
    both = splats(torch.stack([FRONT, BACK + torch.tensor([0.5, 0, 0])]), torch.stack([RED, BLUE]))
    alone = SplatRenderer(Given(splats(FRONT[None], RED[None]))).render(camera())
    getattr(both, part)[1] = wrong
    rendering = SplatRenderer(Given(both)).render(camera())
    assert rendering.color.isfinite().all()
    assert torch.equal(rendering.color[..., 0], alone.color[..., 0])
    if math.isnan(wrong) or part == "means":
        assert torch.equal(rendering.color, alone.color)


def test_no_opacity_is_nothing_and_full_opacity_hides_all_behind() -> None:
    assert not shown(splats(FRONT[None], RED[None], opacity=0.0)).any()
    pair = splats(torch.stack([FRONT, BACK]), torch.stack([RED, BLUE]), opacity=1.0)
    color = shown(pair)[MIDDLE]
    assert float(color[2]) <= 0.001
    assert float(color[0]) >= 0.99


SQUARE = 1 / math.sqrt(2)
RAYS = {
    "through": ((0.0, 0, -3), (0.0, 0, 1), (2.0, 4.0)),
    "inside": ((0.0, 0.5, 0), (0.0, 1, 0), (0.0, 0.5)),
    "parallel to faces, between them": ((0.25, 0.5, -2), (0.0, 0, 1), (1.0, 3.0)),
    "parallel to faces, outside": ((1.5, 0, -2), (0.0, 0, 1), (0.0, 0.0)),
    "beside": ((0.0, 0, -3), (SQUARE, 0, SQUARE), (0.0, 0.0)),
    "away": ((0.0, 0, 3), (0.0, 0, 1), (0.0, 0.0)),
    "through an edge": ((-2.0, 0, -2), (SQUARE, 0, SQUARE), (math.sqrt(2), 3 * math.sqrt(2))),
    "without length, outside": ((0.0, 0, -3), (0.0, 0, 0), (0.0, 0.0)),
}


@pytest.mark.parametrize("name", RAYS)
def test_rays_meet_the_cube_where_they_do(name: str) -> None:
    origin, direction, expected = RAYS[name]
    near, far = ray_cube(torch.tensor([origin]), torch.tensor([direction]), 1.0)
    assert (float(near), float(far)) == pytest.approx(expected, abs=1e-5)
