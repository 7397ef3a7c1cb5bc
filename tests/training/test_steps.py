import math
import time
from typing import Any

import pytest
import torch

from scenekit.core.cameras import Cameras
from scenekit.core.checks import TrainingDiverged
from scenekit.core.protocols import EVAL, Context, ParameterGroup, Rendering
from scenekit.core.schedules import constant
from scenekit.kernels.gpu.compile import waiting
from scenekit.renderers.background import GivenBackground, LearnedBackground
from scenekit.training.averages import Averages
from scenekit.training.batches import ImageBatches, PixelBatches, Views
from scenekit.training.losses import huber, l1_dssim
from scenekit.training.objective import psnr_of
from scenekit.training.photographs import Photographs, over
from scenekit.training.steps import Budget, Training, steps


class FlatColor(torch.nn.Module):
    """The simplest scene there is: one colour and one opacity everywhere."""

    batching = "pixels"

    def __init__(self, poison_at: float = 2.0) -> None:
        super().__init__()
        self.logits = torch.nn.Parameter(torch.zeros(4))
        self.poison_at = poison_at

    def render(self, cameras: Cameras, pixels: Any = None, *, context: Context = EVAL) -> Rendering:
        width, height = cameras.sizes[0]
        shape = (len(cameras), height, width) if pixels is None else (len(pixels),)
        values = self.logits.sigmoid()
        terms = {"poison": values.sum() * math.inf} if context.progress >= self.poison_at else {}
        opacity = values[3].expand(shape)
        color = (values[:3] * values[3]).expand(*shape, 3)
        return Rendering(color, opacity, terms=terms, trace={"samples": len(opacity)})

    def parameter_groups(self) -> list[ParameterGroup]:
        return [ParameterGroup("logits", {"logits": self.logits}, constant(0.05))]


def views(channels: int = 3) -> Views:
    image = torch.zeros(16, 16, channels, dtype=torch.uint8)
    image[..., :3] = torch.tensor([51, 102, 204])
    if channels == 4:
        image[..., 3] = 255
    camera = Cameras(torch.eye(4)[None, :3], torch.tensor([[9.0, 9, 8, 8]]), ((16, 16),))
    return Views(camera, (image,))


OBJECTIVE = {"renderer", "background", "batches", "loss", "corrections", "watched"}


def training(budget: Budget, **changes: Any) -> Training:
    parts: dict[str, Any] = {
        "renderer": FlatColor(),
        "background": GivenBackground((0.0, 0.0, 0.0)),
        "batches": PixelBatches(views(), 1024),
        "loss": huber,
    }
    own = {"generator": torch.Generator().manual_seed(0)} | {k: v for k, v in changes.items() if k not in OBJECTIVE}
    parts |= {k: v for k, v in changes.items() if k in OBJECTIVE}
    return Training(Photographs(**parts), budget, **own)


def test_a_flat_colour_is_learnt_from_pixels_and_from_images() -> None:
    for batches, loss in ((PixelBatches(views(), 1024), huber), (ImageBatches(views()), l1_dssim(0.2))):
        run = training(Budget(steps=300), batches=batches, loss=loss)
        last = list(steps(run))[-1]
        assert last.psnr > 30
        assert last.index == 299


def test_a_random_background_teaches_opacity() -> None:
    run = training(
        Budget(steps=400),
        batches=PixelBatches(views(4), 1024),
        background=GivenBackground((1.0, 1.0, 1.0), random_in_training=True),
    )
    for _ in steps(run):
        pass
    assert float(run.objective.renderer.state_dict()["logits"][3].sigmoid()) > 0.97


def test_a_learned_background_is_learnt_and_kept_in_the_state() -> None:
    background = LearnedBackground()
    run = training(Budget(steps=100), background=background)
    for _ in steps(run):
        pass
    assert not torch.equal(run.state_dict()["objective"]["background"]["logits"], LearnedBackground().logits)


def test_resumed_training_equals_the_uninterrupted_one_bit_for_bit() -> None:
    whole = training(Budget(steps=40))
    for _ in steps(whole):
        pass
    first = training(Budget(steps=40))
    for step in steps(first):
        if step.index == 16:
            break
    second = training(Budget(steps=40))
    second.load_state_dict(first.state_dict())
    assert second.index == 17
    for _ in steps(second):
        pass
    assert torch.equal(
        second.objective.renderer.state_dict()["logits"], whole.objective.renderer.state_dict()["logits"]
    )


def test_a_loss_that_is_not_finite_stops_with_the_step_and_the_term() -> None:
    run = training(Budget(steps=10), renderer=FlatColor(poison_at=0.5))
    seen = []
    with pytest.raises(TrainingDiverged, match=r"'poison' at step 5"):
        seen.extend(steps(run))
    assert len(seen) == 5
    assert run.objective.renderer.state_dict()["logits"].isfinite().all()


def test_minutes_count_training_alone() -> None:
    run = training(Budget(minutes=0.002))
    for _ in steps(run):
        time.sleep(0.01)
    assert 0.12 <= run.seconds < 0.5


def test_minutes_do_not_count_what_is_waited_for_compilers() -> None:
    class Compiling(FlatColor):
        def render(self, *arguments: Any, **named: Any) -> Rendering:
            with waiting():
                time.sleep(0.02)
            return super().render(*arguments, **named)

    run = training(Budget(steps=10), renderer=Compiling())
    began = time.perf_counter()
    for _ in steps(run):
        pass
    assert 0 < run.seconds < time.perf_counter() - began - 0.19


def test_a_target_psnr_ends_training_early() -> None:
    run = training(Budget(steps=5000, target_psnr=25.0))
    run.objective.watched = [PixelBatches(views(), 1024).next(Context(generator=torch.Generator().manual_seed(9)))]
    for _ in steps(run):
        pass
    assert run.index < 5000
    assert run.index % 200 == 0


def test_averages_take_the_parameters_place_at_the_end() -> None:
    renderer = FlatColor()
    run = training(Budget(steps=50), renderer=renderer, averages=Averages(renderer.parameter_groups(), start=0.5))
    trail = [renderer.logits.detach().clone() for _ in steps(run)]
    expected = trail[25].clone()
    for value in trail[26:]:
        expected.lerp_(value, 0.05)
    torch.testing.assert_close(renderer.logits.detach(), expected)


def test_progress_is_the_larger_share_of_steps_and_time() -> None:
    budget = Budget(steps=100, minutes=1.0)
    assert budget.progress(50, 6.0) == 0.5
    assert budget.progress(10, 30.0) == 0.5
    assert budget.progress(500, 0.0) == 1.0


def test_alpha_blends_photographs_over_the_background() -> None:
    target = torch.tensor([[1.0, 0.0, 0.0, 0.25]])
    assert torch.equal(over(target, torch.ones(3)), torch.tensor([[1.0, 0.75, 0.75]]))
    assert psnr_of(0.01) == pytest.approx(20.0)


def test_the_state_holds_everything_that_training_changes() -> None:
    run = training(Budget(steps=2))
    keys = {"objective", "optimizer", "index", "seconds", "generator"}
    assert set(run.state_dict()) == keys
    assert set(run.state_dict()["objective"]) == {"renderer", "background", "batches"}


class Poisoned(FlatColor):
    """Fine to look at, but with a gradient that is none, once half of the training is over."""

    spent = False

    def render(self, cameras: Cameras, pixels: Any = None, *, context: Context = EVAL) -> Rendering:
        rendering = super().render(cameras, pixels, context=context)
        if context.progress >= 0.5 and not self.spent:
            self.spent = True
            rendering.color.register_hook(lambda gradient: gradient * math.nan)
        return rendering


@pytest.mark.bad_input
def test_a_gradient_that_is_no_number_stops_before_the_step_and_names_its_parameter() -> None:
    run = training(Budget(steps=10), renderer=Poisoned())
    before = torch.zeros(0)
    with pytest.raises(TrainingDiverged, match=r"found NaN or infinity in that of 'logits' at step 5"):  # noqa: PT012
        for _ in steps(run):
            before = run.optimizer.groups[0].parameters["logits"].detach().clone()
    assert torch.equal(run.optimizer.groups[0].parameters["logits"], before)
    assert run.not_finite() is None
    assert len(list(steps(run))) == 5  # what was good goes on


def test_parameters_that_are_no_numbers_are_named() -> None:
    run = training(Budget(steps=1))
    run.optimizer.groups[0].parameters["logits"].data[2] = math.inf
    assert run.not_finite() == "logits"
    run.optimizer.groups[0].parameters["logits"].data.fill_(3e38)  # their sum overflows, they do not
    assert run.not_finite() is None
