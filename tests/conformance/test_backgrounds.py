"""One property test for every background: registering is what makes it tested."""

from pathlib import Path

import pytest
import torch

from scenekit.assets.run import read_checkpoint, write_checkpoint, write_recipe, write_scene
from scenekit.core.cameras import Cameras, Pixels, every_pixel
from scenekit.core.protocols import EVAL, Background, Context
from scenekit.data import Capture, synthetic
from scenekit.recipes import Fitting, Session, load, prepare
from scenekit.recipes.background import BACKGROUNDS, BackgroundChoice
from scenekit.recipes.configs import VolumeFitting
from scenekit.renderers.volume import Marching
from scenekit.representations import HashGrid
from scenekit.training.steps import steps

KINDS = sorted(BACKGROUNDS)


@pytest.fixture(scope="module")
def capture() -> Capture:
    return synthetic.make(views=6, size=(16, 16))


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


def built(kind: str, seed: int = 0) -> Background:
    return BackgroundChoice(kind, (0.2, 0.4, 0.6)).build(torch.Generator().manual_seed(seed))


def session_with(kind: str, capture: Capture) -> Session:
    grid = HashGrid(levels=2, log2_table=8, finest=16)
    fitting = VolumeFitting(batch_samples=2048, occupancy_cells=512, marching=Marching(steps=32, grid=8))
    background = {"given": "white"}.get(kind, kind)
    return prepare(capture, grid, Fitting(steps=8, background=background), fitting)


@pytest.mark.parametrize("training", [True, False])
def test_colors_broadcast_against_pixels_and_against_whole_images(kind: str, training: bool, capture: Capture) -> None:
    context = Context(training, torch.Generator().manual_seed(0)) if training else EVAL
    cameras = capture.cameras[[0, 1]].to(dtype=torch.float32)
    background = built(kind)
    assert isinstance(background, Background)
    some = every_pixel(cameras)[torch.tensor([3, 77, 300])]
    for pixels, shape in ((some, (3, 3)), (some[:0], (0, 3)), (None, (2, 16, 16, 3))):
        colors = background.colors(cameras, pixels, context)
        assert torch.broadcast_shapes(colors.shape, shape) == shape
        assert (colors >= 0).all()
        assert (colors <= 1).all()


def test_pixels_and_whole_images_see_the_same_colors(kind: str, capture: Capture) -> None:
    cameras = capture.cameras[[0, 1]].to(dtype=torch.float32)
    background = built(kind)
    whole = background.colors(cameras, None, EVAL).expand(2, 16, 16, 3).reshape(-1, 3)
    single = background.colors(cameras, every_pixel(cameras), EVAL).expand(512, 3)
    assert torch.allclose(whole, single, atol=1e-6)


def test_what_learns_gets_a_gradient_and_a_fresh_one_takes_the_state(kind: str, capture: Capture) -> None:
    cameras = capture.cameras[[0]].to(dtype=torch.float32)
    background, other = built(kind), built(kind, seed=1)
    colors = background.colors(cameras, every_pixel(cameras), EVAL)
    parameters = [p for group in background.parameter_groups() for p in group.parameters.values()]
    if parameters:
        colors.square().sum().backward()
    for parameter in parameters:
        assert parameter.grad is not None
        assert parameter.grad.any()
    other.load_state_dict(background.state_dict())
    assert torch.equal(other.colors(cameras, every_pixel(cameras), EVAL), colors)


def test_training_resumes_with_the_same_bits_and_the_run_folder_keeps_it(
    kind: str, capture: Capture, tmp_path: Path
) -> None:
    whole, first, second = (session_with(kind, capture) for _ in range(3))
    for _ in steps(whole.training):
        pass
    for step in steps(first.training):
        if step.index == 3:
            break
    write_checkpoint(tmp_path, first.training.index, first.training.state_dict())
    second.training.load_state_dict(read_checkpoint(tmp_path))
    for _ in steps(second.training):
        pass
    write_recipe(tmp_path, second.scene.recipe)
    write_scene(tmp_path, second.scene)
    expected, kept = whole.scene.background.state_dict(), load(tmp_path).background.state_dict()
    assert expected.keys() == kept.keys()
    for name, value in expected.items():
        assert torch.equal(value, kept[name]), name


def test_a_sphere_learns_what_every_direction_sees() -> None:
    """Red above, blue below, without any scene in front."""
    background = built("sphere")
    generator = torch.Generator().manual_seed(0)
    camera = Cameras(torch.eye(4)[None, :3], torch.tensor([[8.0, 8.0, 8.0, 8.0]]), ((16, 16),))
    optimizer = torch.optim.Adam([p for g in background.parameter_groups() for p in g.parameters.values()], lr=3e-3)
    for _ in range(200):
        positions = 16 * torch.rand(256, 2, generator=generator)
        target = torch.zeros(256, 3)
        target[torch.arange(256), torch.where(positions[:, 1] < 8, 0, 2)] = 1
        colors = background.colors(camera, Pixels(torch.zeros(256, dtype=torch.int64), positions), EVAL)
        loss = (colors - target).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    picture = background.colors(camera, None, EVAL)[0]
    assert (picture[2, :, 0] > 0.9).all()
    assert (picture[13, :, 2] > 0.9).all()
