"""Every ordered pair of representations converts: registering one is what makes it tested."""

import itertools
from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor

from scenekit.data import Capture, synthetic
from scenekit.distill.plan import Distilling
from scenekit.recipes import Converting, prepare_conversion
from scenekit.renderers.scene import Scene
from scenekit.representations import REPRESENTATIONS
from scenekit.training.objective import psnr_of
from scenekit.training.steps import steps
from tests.conformance.small import small_configs, small_session

TEACHER_STEPS = 300
STEPS = {"volume": 120, "splats": 60}
# A product of planes and lines starts from nearly nothing; from splats, it sees surfaces only. Grids behind inherited
# networks match features of RBFs at first, which say little of the picture.
SLOW = {("gaussians", "low_rank"): 400, ("rbf", "hash_grid"): 200, ("rbf", "simplex_grid"): 200}
SAMPLES = 4096  # a step of a field: many small steps teach more than few large ones
# A second a pair: students are far from done, but must be far from one flat colour too.
MARGIN = 2.0
QUICK = {"volume": {"batch_samples": SAMPLES}}
ASKED = Distilling(views=24, surface_points=2000)


@pytest.fixture(scope="module")
def capture() -> Capture:
    return synthetic.make(views=24, size=(48, 48))


@pytest.fixture(scope="module")
def teacher(capture: Capture) -> Callable[[str], Scene]:
    """Trained when they are first asked for."""
    trained: dict[str, Scene] = {}

    def of(name: str) -> Scene:
        if name not in trained:
            session = small_session(name, capture, TEACHER_STEPS, QUICK)
            for _ in steps(session.training):
                pass
            trained[name] = session.scene
        return trained[name]

    return of


def pictures(scene: Scene, capture: Capture) -> Tensor:
    return scene.render(capture.cameras[capture.test]).color


def pairs() -> Iterator[object]:
    """All in order; those that lead from a name to the next one have every kind once as teacher and once as student."""
    names = sorted(REPRESENTATIONS)
    following = dict(zip(names, [*names[1:], names[0]], strict=True))
    for source, target in itertools.permutations(names, 2):
        yield pytest.param(source, target, marks=() if following[source] == target else pytest.mark.long)


@pytest.mark.parametrize(("source", "target"), pairs())
def test_a_scene_becomes_another(source: str, target: str, teacher: Callable[[str], Scene], capture: Capture) -> None:
    config, fitting = small_configs(target, QUICK)
    limits = Converting(steps=SLOW.get((source, target), STEPS[config.renderer]), seed=1)
    conversion = prepare_conversion(teacher(source), config, limits, fitting, distilling=ASKED)
    for _ in steps(conversion.training):
        pass
    assert conversion.scene.recipe["conversion"]["history"][-1]["to"] == target
    wanted, found = pictures(teacher(source), capture), pictures(conversion.scene, capture)
    flat = wanted.mean((0, 1, 2))
    achieved = psnr_of(float((found - wanted).square().mean()))
    assert achieved > psnr_of(float((flat - wanted).square().mean())) + MARGIN
    assert bool(torch.isfinite(found).all())
