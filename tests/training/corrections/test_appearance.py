"""Exposure and tone of single photographs."""

from dataclasses import replace

import pytest
import torch

from scenekit.core.cameras import Cameras, Pixels
from scenekit.core.protocols import Batch, Rendering
from scenekit.core.tone import linear_from_srgb, srgb_from_linear
from scenekit.data import synthetic
from scenekit.recipes import Fitting, Supervision, prepare
from scenekit.recipes.configs import from_plain
from scenekit.recipes.families import FAMILIES
from scenekit.representations import REPRESENTATIONS
from scenekit.training.corrections import BilateralGrids, Exposures
from scenekit.training.corrections.appearance import exposed
from scenekit.training.steps import steps
from tests.conformance.small import SMALL, SMALL_FAMILY


def cameras(count: int = 3) -> Cameras:
    poses = torch.eye(4)[None, :3].expand(count, 3, 4)
    intrinsics = torch.tensor([[9.0, 9, 4, 4]]).expand(count, 4)
    return Cameras(poses, intrinsics, ((8, 8),) * count, view_ids=torch.arange(count))


def batch_of(colors: torch.Tensor, owners: list[int] | None = None, camera: int | None = None) -> Batch:
    if owners is None:
        assert camera is not None
        return Batch(cameras()[camera], None, torch.zeros_like(colors))
    positions = torch.rand(len(owners), 2, generator=torch.Generator().manual_seed(0)) * 8
    return Batch(cameras(), Pixels(torch.tensor(owners), positions), torch.zeros_like(colors))


def seen(colors: torch.Tensor) -> Rendering:
    return Rendering(colors, torch.ones(colors.shape[:-1]))


def test_srgb_and_linear_light_undo_each_other_and_agree_with_the_standard() -> None:
    values = torch.linspace(0, 1.5, 301, dtype=torch.float64)[:, None].expand(-1, 3)
    torch.testing.assert_close(srgb_from_linear(linear_from_srgb(values)), values, atol=1e-6, rtol=0)
    assert float(linear_from_srgb(torch.tensor([[0.5, 0.5, 0.5]]))[0, 0]) == pytest.approx(0.214041, abs=1e-5)


def test_one_stop_doubles_the_light() -> None:
    color = torch.tensor([[0.2, 0.4, 0.6]])
    twice = exposed(color, torch.ones(1, 3))
    torch.testing.assert_close(linear_from_srgb(twice), 2 * linear_from_srgb(color))


def test_gains_are_those_of_each_pixels_photograph_and_relative_to_the_reference() -> None:
    exposures = Exposures(3, (0, 1, 2), reference=1)
    with torch.no_grad():
        exposures.stops.copy_(torch.tensor([[1.0], [0.25], [-1.0]]).expand(3, 3))
    colors = torch.full((4, 3), 0.3)
    shown = exposures.rendering(seen(colors), batch_of(colors, [0, 1, 2, 1])).color
    torch.testing.assert_close(shown[[1, 3]], colors[[1, 3]])
    torch.testing.assert_close(shown[0], exposed(colors[0], torch.full((3,), 0.75)))
    image = colors[0].expand(1, 8, 8, 3)
    whole = exposures.rendering(seen(image), batch_of(image, camera=2)).color
    torch.testing.assert_close(whole[0, 3, 3], exposed(colors[0], torch.full((3,), -1.25)))


def test_fresh_bilateral_grids_change_nothing_and_cost_nothing() -> None:
    grids = BilateralGrids(3)
    colors = torch.rand(5, 3, generator=torch.Generator().manual_seed(1))
    batch = batch_of(colors, [0, 1, 2, 0, 1])
    assert torch.equal(grids.rendering(seen(colors), batch).color, colors)
    assert float(grids.loss(seen(colors), batch)["tone"].detach()) == 0


def test_a_constant_bilateral_grid_is_one_affine_map_of_its_photograph() -> None:
    grids = BilateralGrids(3, reference=2)
    affine = torch.zeros(3, 4)
    affine[:, 3] = torch.tensor([0.1, 0.0, -0.1])
    affine[0, 1] = 0.5
    with torch.no_grad():
        grids.grids[1:] = affine.flatten()
    colors = torch.rand(3, 3, generator=torch.Generator().manual_seed(1))
    shown = grids.rendering(seen(colors), batch_of(colors, [0, 1, 2])).color
    expected = colors[1] + affine[:, :3] @ colors[1] + affine[:, 3]
    torch.testing.assert_close(shown, torch.stack([colors[0], expected, colors[2]]))


def test_a_bilateral_grid_follows_place_and_brightness() -> None:
    grids = BilateralGrids(1, width=2, depth=2)
    with torch.no_grad():
        # Vertices are ordered x, y, luma: light is added where x = 1 and luma = 1 alone.
        grids.grids[0].reshape(2, 2, 2, 3, 4)[1, :, 1, :, 3] = 1.0
    image = torch.zeros(1, 8, 8, 3)
    image[:, 4:] = 1.0
    batch = Batch(cameras(1), None, image)
    added = (grids.rendering(seen(image), batch).color - image)[0, ..., 0]
    torch.testing.assert_close(added[:4], torch.zeros(4, 8))
    torch.testing.assert_close(added[4], (torch.arange(8) + 0.5) / 8, atol=1e-6, rtol=0)


@pytest.mark.parametrize("name", ["gaussians", "hash_grid"])
def test_varied_exposures_are_found(name: str) -> None:
    capture = synthetic.make(views=16, size=(48, 48), unbounded=False)
    true = torch.linspace(-1, 1, len(capture))[torch.randperm(len(capture), generator=torch.Generator().manual_seed(2))]
    images = []
    for image, stops in zip(capture.images, true, strict=True):
        colors = exposed(image[..., :3].float() / 255, stops.expand(3)).clamp(0, 1)
        images.append(torch.cat([(colors * 255).round().to(torch.uint8), image[..., 3:]], -1))
    kind = REPRESENTATIONS[name]
    fitting = from_plain(FAMILIES[kind.renderer].fitting, SMALL_FAMILY[kind.renderer], name)
    config = from_plain(kind, SMALL[name], name)
    varied = replace(capture, images=tuple(images))
    session = prepare(varied, config, Fitting(steps=500), fitting, Supervision(appearance="exposure"))
    for _ in steps(session.training):
        pass
    exposures = session.corrections[0]
    assert isinstance(exposures, Exposures)
    chosen = list(capture.train)
    found = exposures.stops.detach()[chosen].mean(1)
    error = (found - found.mean()) - (true[chosen] - true[chosen].mean())
    assert float(error.abs().mean()) < 0.2
