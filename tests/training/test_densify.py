import math
from dataclasses import replace

import pytest
import torch

from scenekit.core.cameras import Cameras
from scenekit.core.lenses import Lens
from scenekit.core.protocols import Change, Context, Rendering
from scenekit.renderers.splats import SplatRenderer
from scenekit.representations.gaussians import GaussianModel, Gaussians
from scenekit.training.controllers import DefaultDensification, Growth, Thresholds

WIDTH, HEIGHT = 40, 20


def model_of(log_scales: list[float], opacities: list[float]) -> GaussianModel:
    model = GaussianModel(Gaussians(harmonics_degree=1), len(log_scales), 1.0)
    with torch.no_grad():
        model.means.copy_(torch.arange(len(log_scales) * 3).reshape(-1, 3))
        model.log_scales.copy_(torch.tensor(log_scales)[:, None].expand(-1, 3))
        model.opacity_logits.copy_(torch.tensor(opacities).logit())
    return model


def seen(lengths: list[float], visible: list[bool] | None = None) -> Rendering:
    """A rendering whose screen gradients have these lengths in normalised device coordinates."""
    rows = torch.zeros(len(lengths), 12, requires_grad=True)
    rows.grad = torch.zeros_like(rows)
    rows.grad[:, 0] = torch.tensor(lengths) / (WIDTH / 2)
    mask = torch.tensor(visible or [True] * len(lengths))
    trace = {"rows": (rows,), "visible": (mask,), "units": ((WIDTH / 2, HEIGHT / 2),), "batch": 1}
    return Rendering(torch.zeros(1, HEIGHT, WIDTH, 3), torch.zeros(1, HEIGHT, WIDTH), trace=trace)


def at(progress: float, seed: int = 0) -> Context:
    return Context(True, torch.Generator().manual_seed(seed), progress)


def apply(model: GaussianModel, change: Change) -> None:
    """What the optimizer does to the parameters."""
    for name, parameter in model.learnable.items():
        values = change.values.get(name)
        parameter.data = parameter.data[change.sources] if values is None else values


EVERY = Growth(max_count=100, start=0.0, stop=0.5, every=1)
SMALL, LARGE = -6.0, -3.0  # exp is below and above a hundredth


@pytest.mark.parametrize("width", [96, 480])
def test_what_a_splat_is_pulled_at_hardly_depends_on_how_much_else_a_lens_sees(width: int) -> None:
    """Through a panorama or a fisheye with the same pixels a degree, whether one splat lies in one face or another."""
    renderer = SplatRenderer(model_of([-3.0], [0.9]))
    with torch.no_grad():
        renderer.primitives.means.copy_(torch.tensor([[0.05, 0.02, 3.0]]))
        renderer.primitives.harmonics_dc.fill_(1.0)
    focal = width / (2 * math.pi)
    square = round(2 * focal)  # of a pinhole's picture of 90 degrees
    sizes = {None: (square, square), "equirectangular": (width, width // 2), "equidistant": (width, width)}
    lengths = []
    for kind, size in sizes.items():
        values = torch.tensor([[focal, focal, size[0] / 2, size[1] / 2]])
        lenses = None if kind is None else (Lens(kind),)
        context = Context(True, torch.Generator().manual_seed(0), 0.1)
        rendering = renderer.render(Cameras(torch.eye(4)[None, :3], values, (size,), lenses=lenses), context=context)
        (
            rendering.color * (torch.arange(size[0]) - size[0] / 2)[:, None]
        ).mean().backward()  # pulls all that is seen to the left
        controller = DefaultDensification(renderer.primitives, Growth(max_count=100, start=0.0, stop=0.5, every=10))
        controller.after_backward(rendering, context)
        lengths.append(float(controller.lengths[0]))
    assert lengths[0] > 0
    assert lengths == pytest.approx([lengths[0]] * 3, rel=0.15)


def test_small_ones_are_cloned_large_ones_split_and_transparent_ones_pruned() -> None:
    model = model_of([SMALL, LARGE, SMALL, SMALL], [0.5, 0.5, 0.5, 0.001])
    controller = DefaultDensification(model, EVERY)
    change = controller.after_backward(seen([3e-4, 3e-4, 1e-4, 9e-4]), at(0.1))
    assert change is not None
    assert change.sources.tolist() == [0, 2, 0, 1, 1]
    assert change.fresh.tolist() == [False, False, True, True, True]
    before = model.means.detach().clone()
    apply(model, change)
    assert torch.equal(model.means[:3], before[[0, 2, 0]])
    assert torch.allclose(model.log_scales[3:], torch.tensor(LARGE) - torch.tensor(1.6).log())
    offsets = model.means[3:].detach() - before[1]
    assert 0 < float(offsets.abs().max()) < 5 * torch.tensor(LARGE).exp()
    assert controller.lengths.shape == (5,)


def test_halves_are_drawn_from_the_turned_gaussian() -> None:
    count = 4000
    model = model_of([LARGE] * count, [0.5] * count)
    half = torch.tensor(0.5).sqrt()
    with torch.no_grad():
        model.means.zero_()
        model.log_scales.copy_(torch.tensor([0.0, -3.0, -6.0]))
        model.quaternions.copy_(torch.stack([half, half * 0, half * 0, half]))  # x turns to y
    growth = Growth(max_count=10 * count, start=0.0, stop=0.5, every=1)
    change = DefaultDensification(model, growth).after_backward(seen([1.0] * count), at(0.45))
    assert change is not None
    assert change.values["means"].std(0).tolist() == pytest.approx(
        [torch.tensor(-3.0).exp().item(), 1.0, torch.tensor(-6.0).exp().item()], rel=0.05
    )


def test_gradients_are_averaged_over_the_views_that_saw_a_gaussian() -> None:
    model = model_of([SMALL] * 2, [0.5] * 2)
    controller = DefaultDensification(model, Growth(100, start=0.0, stop=0.5, every=2))
    assert controller.after_backward(seen([3e-4, 3e-4], [True, True]), at(0.1)) is None
    change = controller.after_backward(seen([0.0, 0.0], [True, False]), at(0.1))
    assert change is not None
    assert change.sources.tolist() == [0, 1, 1]


def test_all_photographs_of_a_step_are_counted() -> None:
    growth = Growth(100, start=0.0, stop=0.5, every=10)
    three = replace(at(0.1), batches=3)
    assert [seen for seen in range(3, 43, 3) if growth.due(seen, three)] == [12, 21, 30, 42]
    controller = DefaultDensification(model_of([SMALL], [0.5]), growth, Thresholds(reset_every=5))
    resets = [controller.after_backward(seen([0.0]), three) is not None for _ in range(4)]
    assert resets == [False, True, False, True]  # after 6 and 12 photographs; 12 bring densification as well


def test_a_tight_budget_takes_the_largest_gradients_first() -> None:
    model = model_of([SMALL] * 4, [0.5] * 4)
    growth = Growth(max_count=6, start=0.0, stop=0.5, every=1)
    change = DefaultDensification(model, growth).after_backward(seen([3e-4, 9e-4, 4e-4, 5e-4]), at(0.45))
    assert change is not None
    assert change.sources.tolist() == [0, 1, 2, 3, 1, 3]


def test_the_budget_opens_with_progress_and_never_exceeds_the_cap() -> None:
    growth = Growth(max_count=1000, start=0.1, stop=0.6)
    allowed = [growth.allowed(200, progress / 20) for progress in range(21)]
    assert allowed[:3] == [200, 200, 200]
    assert allowed == sorted(allowed)
    assert allowed[10:] == [1000] * 11
    assert growth.allowed(2000, 0.0) == 1000


def test_every_so_often_all_opacities_are_reset_and_their_moments_forgotten() -> None:
    model = model_of([SMALL] * 3, [0.5, 0.008, 0.5])
    thresholds = Thresholds(reset_every=2)
    controller = DefaultDensification(model, Growth(100, start=0.0, stop=0.5, every=3), thresholds)
    assert controller.after_backward(seen([0.0] * 3), at(0.1)) is None
    change = controller.after_backward(seen([0.0] * 3), at(0.1))
    assert change is not None
    apply(model, change)
    assert torch.allclose(model.opacity_logits.sigmoid(), torch.tensor([0.01, 0.008, 0.01]))
    assert change.forget == {"opacity_logits"}
    assert change.sources.tolist() == [0, 1, 2]


def test_what_grew_too_large_is_pruned_after_the_first_reset() -> None:
    model = model_of([SMALL, 0.0], [0.5, 0.5])
    thresholds = Thresholds(reset_every=1)
    controller = DefaultDensification(model, EVERY, thresholds)
    first = controller.after_backward(seen([0.0, 0.0]), at(0.1))
    second = controller.after_backward(seen([0.0, 0.0]), at(0.1))
    assert first is not None
    assert second is not None
    assert first.sources.tolist() == [0, 1]
    assert second.sources.tolist() == [0]


def test_nothing_changes_before_the_start_or_after_the_stop() -> None:
    model = model_of([SMALL], [0.5])
    controller = DefaultDensification(model, Growth(100, start=0.2, stop=0.5, every=1), Thresholds(reset_every=1000))
    for progress in (0.1, 0.5, 0.9):
        assert controller.after_backward(seen([1.0]), at(progress)) is None


def test_a_restored_controller_continues_bit_for_bit() -> None:
    model = model_of([SMALL, LARGE], [0.5, 0.5])
    growth = Growth(100, start=0.0, stop=0.5, every=2)
    controller = DefaultDensification(model, growth)
    controller.after_backward(seen([1e-4, 5e-4]), at(0.1))
    restored = DefaultDensification(model, growth)
    restored.load_state_dict(controller.state_dict())
    first = controller.after_backward(seen([4e-4, 1e-4]), at(0.1, seed=3))
    second = restored.after_backward(seen([4e-4, 1e-4]), at(0.1, seed=3))
    assert first is not None
    assert second is not None
    assert torch.equal(first.sources, second.sources)
    assert torch.equal(first.values["means"], second.values["means"])
    assert restored.step == controller.step
