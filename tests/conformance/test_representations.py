"""One property test for every representation: registering is what makes it tested."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from scenekit.assets.run import read_checkpoint, write_checkpoint
from scenekit.core.cameras import Cameras
from scenekit.core.capabilities import Radiant
from scenekit.core.protocols import EVAL, Context, Renderer
from scenekit.core.rays import Samples
from scenekit.data import Capture, synthetic
from scenekit.recipes import Session
from scenekit.recipes.configs import from_plain, to_plain
from scenekit.recipes.families import FAMILIES
from scenekit.recipes.family import Surroundings
from scenekit.representations import REPRESENTATIONS
from scenekit.representations.networks import RadianceNetworks
from scenekit.training.evaluate import over_white, scores
from scenekit.training.objective import psnr_of
from scenekit.training.steps import steps
from tests.conformance.small import SMALL, SMALL_FAMILY, small_session

STEPS = {"volume": 400, "splats": 500}  # 20 to 25 dB, over several seeds


@pytest.fixture(scope="module")
def capture() -> Capture:
    return synthetic.make(views=24, size=(48, 48))


@pytest.fixture(params=sorted(REPRESENTATIONS))
def name(request: pytest.FixtureRequest) -> str:
    return request.param


def held_out(session: Session, capture: Capture) -> float:
    images = [capture.images[i] for i in capture.test]
    names = [capture.names[i] for i in capture.test]
    values = [score.psnr for score in scores(session.scene, capture.cameras[capture.test], images, names)]
    return sum(values) / len(values)


def psnr_of_the_mean_photograph(capture: Capture) -> float:
    """What one flat picture for all views scores: 15.3 dB."""
    mean = torch.stack([over_white(capture.images[i]).float() / 255 for i in capture.train]).mean(0)
    errors = [(over_white(capture.images[i]).float() / 255 - mean).square().mean() for i in capture.test]
    return sum(psnr_of(float(error)) for error in errors) / len(errors)


@pytest.mark.long
def test_it_learns_the_synthetic_capture(name: str, capture: Capture) -> None:
    session = small_session(name, capture, steps=STEPS[REPRESENTATIONS[name].renderer])
    before = held_out(session, capture)
    for _ in steps(session.training):
        pass
    after = held_out(session, capture)
    assert after > before + 4
    assert after > psnr_of_the_mean_photograph(capture) + 3


def test_the_same_seed_gives_the_same_bits(name: str, capture: Capture) -> None:
    states = []
    for _ in range(2):
        session = small_session(name, capture, steps=12)
        for _ in steps(session.training):
            pass
        states.append(session.scene.renderer.state_dict())
    for key, value in states[0].items():
        assert torch.equal(value, states[1][key]), key


def test_a_training_resumed_from_its_files_ends_with_the_same_bits(name: str, capture: Capture, tmp_path: Path) -> None:
    """130 steps take densification, its budget and the averages along."""
    whole = small_session(name, capture, steps=130)
    for _ in steps(whole.training):
        pass
    first = small_session(name, capture, steps=130)
    for step in steps(first.training):
        if step.index == 104:
            break
    write_checkpoint(tmp_path, first.training.index, first.training.state_dict())
    second = small_session(name, capture, steps=130)
    second.training.load_state_dict(read_checkpoint(tmp_path))
    for _ in steps(second.training):
        pass
    expected, found = whole.training.state_dict(), second.training.state_dict()
    for part in ("objective", "optimizer"):
        assert_same_bits(expected[part], found[part], part)
    assert torch.equal(expected["generator"], found["generator"])


def assert_same_bits(expected: Any, found: Any, where: str) -> None:
    if isinstance(expected, dict):
        assert expected.keys() == found.keys(), where
        for key, value in expected.items():
            assert_same_bits(value, found[key], f"{where}/{key}")
    elif isinstance(expected, torch.Tensor):
        assert torch.equal(expected, found), where
    else:
        assert expected == found, where


def test_its_config_survives_the_way_through_a_recipe(name: str) -> None:
    kind = REPRESENTATIONS[name]
    config = from_plain(kind, SMALL.get(name, {}), name)
    assert from_plain(kind, to_plain(config), name) == config
    assert kind.renderer in FAMILIES


def test_a_fresh_one_takes_the_state_of_a_trained_one(name: str, capture: Capture) -> None:
    session = small_session(name, capture, steps=3)
    for _ in steps(session.training):
        pass
    kind = REPRESENTATIONS[name]
    config = from_plain(kind, SMALL.get(name, {}), name)
    fitting = from_plain(FAMILIES[kind.renderer].fitting, SMALL_FAMILY[kind.renderer], name)
    inside = session.scene.cameras_in_scene(capture.cameras)
    fresh = FAMILIES[kind.renderer].build(config, fitting, Surroundings(capture.bounds, inside))
    fresh.load_state_dict(session.scene.renderer.state_dict())
    camera = inside[0]
    with torch.no_grad():
        expected = session.scene.renderer.render(camera).color
        assert torch.equal(fresh.render(camera).color, expected)


def renderer_of(name: str, capture: Capture) -> tuple[Renderer, Cameras]:
    session = small_session(name, capture, steps=1)
    return session.scene.renderer, session.scene.cameras_in_scene(capture.cameras)


def test_renderings_are_premultiplied_finite_and_of_the_promised_shapes(name: str, capture: Capture) -> None:
    renderer, cameras = renderer_of(name, capture)
    assert isinstance(renderer, Renderer)
    with torch.no_grad():
        rendering = renderer.render(cameras[[0, 1]], context=EVAL)
    assert rendering.color.shape == (2, 48, 48, 3)
    assert rendering.opacity.shape == (2, 48, 48)
    assert rendering.depth is not None
    assert rendering.depth.shape == (2, 48, 48)
    assert rendering.color.isfinite().all()
    assert (rendering.opacity >= 0).all()
    assert (rendering.opacity <= 1 + 1e-5).all()
    assert (rendering.depth >= 0).all()


def test_every_parameter_gets_a_gradient(name: str, capture: Capture) -> None:
    session = small_session(name, capture, steps=1)
    context = Context(True, torch.Generator().manual_seed(0), progress=1.0)
    batch = session.training.objective.batches.next(context)
    rendering = session.scene.renderer.render(batch.cameras, batch.pixels, context=context)
    (rendering.color.square().sum() + rendering.opacity.sum()).backward()
    for parameter_name, parameter in parameters_of(session.scene.renderer):
        assert parameter.grad is not None, parameter_name
        assert parameter.grad.isfinite().all(), parameter_name
        assert parameter.grad.any(), parameter_name


def test_densities_and_colours_at_once_are_those_of_one_after_the_other(name: str, capture: Capture) -> None:
    renderer, _ = renderer_of(name, capture)
    field: Any = getattr(renderer, "field", None)
    assert isinstance(field, Radiant) == isinstance(getattr(field, "networks", None), RadianceNetworks)
    if not isinstance(field, Radiant):
        return
    generator = torch.Generator().manual_seed(3)
    positions, toward = (torch.randn(500, 3, generator=generator) for _ in range(2))
    directions = torch.nn.functional.normalize(toward, dim=-1).requires_grad_()
    samples = Samples(positions.clamp(-1, 1), directions, torch.full((500,), 1e-3))
    weights = torch.randn(500, generator=generator), torch.randn(500, 3, generator=generator)
    learnt = [directions, *field.parameters()]

    def answers(density: torch.Tensor, color: torch.Tensor) -> list[torch.Tensor]:
        loss = (density * weights[0]).sum() + (color * weights[1]).sum()
        return [density, color, *torch.autograd.grad(loss, learnt)]

    density, features = field.density(samples)
    wanted = answers(density, field.color(features, samples))
    for a, b in zip(answers(*field.radiance(samples)), wanted, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5 * float(b.abs().max()))


def parameters_of(renderer: Renderer) -> Iterator[tuple[str, torch.nn.Parameter]]:
    names = set()
    for group in renderer.parameter_groups():
        for parameter_name, parameter in group.parameters.items():
            assert parameter_name not in names
            names.add(parameter_name)
            yield parameter_name, parameter
