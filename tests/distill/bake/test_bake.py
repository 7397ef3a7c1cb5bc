from dataclasses import replace

import pytest
import torch

from scenekit.core.cameras import Cameras, every_pixel, look_at
from scenekit.core.checks import BadInput
from scenekit.core.protocols import EVAL, Renderer
from scenekit.distill.bake import BakedRenderer, Baking, bake, coarser
from scenekit.distill.bake.field import BakedField, steps_of
from scenekit.distill.bake.fit import begin, pruned
from scenekit.distill.bake.renderer import step_rule

from .fields import Balls, balls_scene

SMALL = Baking(resolution=48, planes=64, march_steps=192, steps=60, rays=384)


def ring(count=6, size=(48, 30)):
    up, middle = torch.tensor([0.0, -1.0, 0.0]).double(), torch.zeros(3, dtype=torch.float64)
    angles = torch.arange(count, dtype=torch.float64) * (2 * torch.pi / count)
    eyes = torch.stack([2.5 * angles.sin(), 0.3 * angles.cos() - 0.4, 2.5 * angles.cos()], -1)
    lens = torch.tensor([[0.9 * size[0], 0.9 * size[0], size[0] / 2, size[1] / 2]], dtype=torch.float64)
    return Cameras(torch.stack([look_at(eye, middle, up) for eye in eyes]), lens.expand(count, 4), (size,) * count)


def psnr(scene, other):
    cameras = scene.cameras[[0, 2]]
    return -10 * float((scene.render(cameras).color - other.render(cameras).color).square().mean().log10())


@pytest.mark.parametrize("extent", [1.0, 4.0])
def test_a_baked_field_shows_what_its_teacher_shows_and_distillation_brings_it_closer(extent):
    scene = balls_scene(ring(), extent=extent)
    cameras = scene.cameras_in_scene(scene.cameras)
    first = begin(scene.renderer, cameras, SMALL, torch.Generator().manual_seed(0))
    baked = bake(scene, SMALL)
    assert isinstance(baked, Renderer)
    before, after = psnr(scene, replace(scene, renderer=first)), psnr(scene, replace(scene, renderer=baked))
    assert before > 20
    assert after > before + 4


def test_a_baked_field_learns_its_bytes_so_that_rounding_costs_little():
    scene = balls_scene(ring())
    baked = bake(scene, SMALL)
    rounded = replace(scene, renderer=baked).render(scene.cameras[[0]]).color
    baked.field.rounded = False
    smooth = replace(scene, renderer=baked).render(scene.cameras[[0]]).color
    assert -10 * float((rounded - smooth).square().mean().log10()) > 40


@pytest.mark.parametrize("training", [False, True])
def test_values_are_rounded_once_for_a_picture_and_anew_for_the_next(monkeypatch, training):
    scene = balls_scene(ring())
    field = begin(scene.renderer, scene.cameras_in_scene(scene.cameras), SMALL).field
    renderer = BakedRenderer(field, scene.renderer.occupancy.occupied, step_rule(1.0, 192, 32, 0.0))
    monkeypatch.setattr("scenekit.distill.bake.renderer.CHUNK", 500)  # of 1440 pixels
    tables, values = [], field.values
    monkeypatch.setattr(field, "values", lambda stored: tables.append(stored) or values(stored))
    cameras = scene.cameras_in_scene(scene.cameras[[0]])
    pixels = every_pixel(cameras)
    context = replace(EVAL, training=training)
    first = renderer.render(cameras, pixels, context=context).color
    assert len(tables) == 4
    with torch.no_grad():
        field.grid[:, 1:4] += 1
    second = renderer.render(cameras, pixels, context=context).color
    assert len(tables) == 8
    assert float((first - second).detach().abs().max()) > 0.05
    with pytest.raises(RuntimeError, match="stop"), field.held():
        raise RuntimeError("stop")
    with torch.no_grad():
        field.grid[:, 1:4] += 1
    assert float((renderer.render(cameras, pixels, context=context).color - second).detach().abs().max()) > 0.05


def test_rounding_keeps_zero_and_lets_gradients_through():
    stored = torch.zeros(4, 8, requires_grad=True)
    assert torch.equal(steps_of(stored), torch.zeros(4, 8))
    scene = balls_scene(ring())
    field = begin(scene.renderer, scene.cameras_in_scene(scene.cameras), SMALL).field
    field.values(field.grid).sum().backward()
    assert torch.equal(field.grid.grad, torch.ones_like(field.grid))


def test_what_a_camera_never_needs_is_left_out_and_nothing_else():
    scene = balls_scene(ring())
    occupied = torch.ones_like(scene.renderer.occupancy.occupied)
    kept = pruned(Balls(), occupied, least=1.0, generator=torch.Generator().manual_seed(0))
    assert 0.01 < kept.float().mean() < 0.6
    places = (torch.nonzero(~kept)[:, 1:] + 0.5) * (2 / kept.shape[1]) - 1
    distances = (places[:, None] - Balls().balls[:, :3]).norm(dim=-1) - Balls().balls[:, 3]
    assert distances.min() > 0.05


@pytest.mark.parametrize("extent", [1.0, 4.0])
def test_a_coarse_copy_is_smaller_and_shows_the_same_scene_softer(extent):
    scene = balls_scene(ring(), extent=extent)
    cameras = scene.cameras_in_scene(scene.cameras)
    fine = begin(scene.renderer, cameras, replace(SMALL, resolution=96), torch.Generator().manual_seed(0))
    copy = coarser(fine)
    assert len(copy.field.grid) < len(fine.field.grid) / 8
    assert psnr(replace(scene, renderer=fine), replace(scene, renderer=copy)) > 18


@pytest.mark.bad_input
def test_scenes_that_are_no_field_and_sizes_that_do_not_fit_are_refused():
    scene = balls_scene(ring())
    with pytest.raises(BadInput, match="wanted a field"):
        bake(replace(scene, renderer=bake(scene, replace(SMALL, steps=1))))
    with pytest.raises(BadInput, match="resolution 20"):
        bake(scene, replace(SMALL, resolution=20))


def test_the_state_of_a_baked_field_is_its_tensors():
    scene = balls_scene(ring())
    cameras = scene.cameras_in_scene(scene.cameras)
    first, second = (begin(scene.renderer, cameras, SMALL, torch.Generator().manual_seed(i)) for i in (0, 1))
    second.field.blocks = first.field.blocks
    second.field.grid = torch.nn.Parameter(torch.zeros_like(first.field.grid))
    second.load_state_dict(first.state_dict())
    assert isinstance(second.field, BakedField)
    assert psnr(replace(scene, renderer=first), replace(scene, renderer=second)) == float("inf")
