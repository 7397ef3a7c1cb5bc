from dataclasses import replace

import pytest
import torch
from torch import Tensor

from scenekit.core.cameras import Cameras, Pixels, every_pixel, look_at
from scenekit.core.protocols import Context, ParameterGroup, Renderer, Splats
from scenekit.kernels.spherical_harmonics import C0
from scenekit.renderers.splats import SplatRenderer


class Given:
    """Splats that are simply there."""

    def __init__(self, splats: Splats) -> None:
        self.given = splats

    def splats(self, cameras: Cameras, context: Context) -> Splats:
        return self.given

    def parameter_groups(self) -> list[ParameterGroup]:
        return []


def camera(count: int = 1, size: tuple[int, int] = (33, 25)) -> Cameras:
    pose = look_at(torch.tensor([0.0, 0, -4]), torch.zeros(3), torch.tensor([0.0, -1, 0]))
    intrinsics = torch.tensor([[40.0, 40.0, size[0] / 2, size[1] / 2]])
    return Cameras(pose[None].repeat(count, 1, 1), intrinsics.repeat(count, 1), (size,) * count)


def splats(means: Tensor, colors: Tensor, *, scale: float = 0.3, opacity: float = 0.9) -> Splats:
    count = len(means)
    return Splats(
        means,
        torch.tensor([1.0, 0, 0, 0]).repeat(count, 1),
        torch.full((count, 3), scale),
        torch.full((count,), opacity),
        ((colors - 0.5) / C0)[:, None],
        colors.new_zeros(count, 0, 3),
        0,
    )


RED, BLUE = torch.tensor([1.0, 0, 0]), torch.tensor([0.0, 0, 1])
FRONT, BACK = torch.tensor([0.0, 0, 0]), torch.tensor([0.0, 0, 2])


def test_one_splat_shows_its_colour_opacity_and_depth_in_the_middle() -> None:
    renderer = SplatRenderer(Given(splats(FRONT[None], RED[None])))
    rendering = renderer.render(camera())
    assert rendering.color.shape == (1, 25, 33, 3)
    assert rendering.depth is not None
    assert rendering.opacity[0, 12, 16].item() == pytest.approx(0.9, abs=1e-4)
    assert rendering.color[0, 12, 16, 0].item() == pytest.approx(0.9, abs=1e-4)
    assert rendering.depth[0, 12, 16].item() == pytest.approx(4.0, abs=1e-4)
    assert rendering.depth[0, 0, 0].item() == 0
    assert rendering.opacity[0, 0, 0].item() == 0
    assert isinstance(renderer, Renderer)


def test_the_nearer_splat_hides_the_farther_whatever_their_order() -> None:
    for order in ([0, 1], [1, 0]):
        means, colors = torch.stack([FRONT, BACK])[order], torch.stack([RED, BLUE])[order]
        rendering = SplatRenderer(Given(splats(means, colors))).render(camera())
        expected = torch.tensor([0.9, 0, 0.1 * 0.9])
        assert torch.allclose(rendering.color[0, 12, 16], expected, atol=1e-4)
        depth = (0.9 * 4 + 0.09 * 6) / 0.99
        assert rendering.depth is not None
        assert rendering.depth[0, 12, 16].item() == pytest.approx(depth, abs=1e-3)


def test_pixels_are_read_off_the_whole_image() -> None:
    renderer = SplatRenderer(Given(splats(torch.stack([FRONT, BACK + 0.5]), torch.stack([RED, BLUE]))))
    cameras = camera(2)
    whole, pixels = renderer.render(cameras), every_pixel(cameras)
    some = renderer.render(cameras, pixels)
    assert torch.equal(some.color, whole.color.reshape(-1, 3))
    assert some.depth is not None
    assert some.depth.shape == (len(pixels),)
    one = renderer.render(cameras, Pixels(torch.tensor([1]), torch.tensor([[16.5, 12.5]])))
    assert torch.equal(one.opacity, whole.opacity[1, 12, 16][None])


def test_training_traces_screen_gradients_and_leaves_depth_out() -> None:
    means = torch.stack([FRONT, BACK + 0.3, torch.tensor([0.0, 0, -9])]).requires_grad_()
    given = splats(means, torch.stack([RED, BLUE, BLUE]))
    renderer = SplatRenderer(Given(replace(given, terms={"opacities": means.sum() * 0})))
    rendering = renderer.render(camera(2), context=Context(training=True))
    assert rendering.depth is None
    assert set(rendering.terms) == {"opacities"}
    assert [seen.tolist() for seen in rendering.trace["visible"]] == [[True, True, False]] * 2
    assert rendering.trace["splats"] == 4
    rendering.color[0].square().sum().backward()
    first, second = rendering.trace["rows"]
    assert float(first.grad[:2, :2].norm(dim=-1).min()) > 0
    assert float(first.grad[2].norm()) == 0
    assert second.grad is None or float(second.grad.norm()) == 0
    assert means.grad is not None
    asked = SplatRenderer(Given(given), depth_in_training=True)
    assert asked.render(camera(), context=Context(training=True)).depth is not None


def test_antialiasing_dims_what_is_smaller_than_a_pixel_and_leaves_large_splats() -> None:
    for scale, low, high in ((0.005, 0.0, 0.2), (1.0, 0.99, 1.0)):
        given = Given(splats(FRONT[None], RED[None], scale=scale))
        plain = SplatRenderer(given).render(camera()).opacity[0, 12, 16]
        smooth = SplatRenderer(given, antialiased=True).render(camera()).opacity[0, 12, 16]
        assert low <= float(smooth / plain) <= high + 1e-6


def test_no_splats_and_no_cameras_give_empty_pictures() -> None:
    empty = SplatRenderer(Given(splats(torch.zeros(0, 3), torch.zeros(0, 3)))).render(camera())
    assert float(empty.opacity.abs().max()) == 0
    nobody = camera()[[]]
    assert SplatRenderer(Given(splats(FRONT[None], RED[None]))).render(nobody).color.shape[0] == 0


@pytest.mark.bad_input
def test_images_of_two_sizes_in_a_batch_are_refused() -> None:
    two = replace(camera(2), sizes=((33, 25), (32, 25)))
    with pytest.raises(ValueError, match="one size"):
        SplatRenderer(Given(splats(FRONT[None], RED[None]))).render(two)
