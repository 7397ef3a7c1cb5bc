from dataclasses import replace

import pytest
import torch

from scenekit.core.protocols import Context, Rendering
from scenekit.representations.gaussians import GaussianModel, Gaussians
from scenekit.training.controllers import Growth, Mcmc
from scenekit.training.controllers.mcmc import DEAD, relocation

NOTHING = Rendering(torch.zeros(1, 2, 2, 3), torch.zeros(1, 2, 2))


def model_of(opacities: list[float]) -> GaussianModel:
    model = GaussianModel(Gaussians(harmonics_degree=0), len(opacities), 1.0)
    with torch.no_grad():
        model.opacity_logits.copy_(torch.tensor(opacities).logit())
        model.means.copy_(torch.arange(len(opacities))[:, None].expand(-1, 3))
    return model


def at(progress: float = 0.1, seed: int = 0) -> Context:
    return Context(True, torch.Generator().manual_seed(seed), progress)


def growth(max_count: int) -> Growth:
    return Growth(max_count, start=0.0, stop=0.8, every=1)


def test_relocation_matches_published_values() -> None:
    opacity, shrink = relocation(torch.tensor([0.5, 0.9, 0.3]), torch.tensor([2, 5, 1]))
    assert opacity.tolist() == pytest.approx([0.2929, 0.3690, 0.3], abs=1e-4)
    assert shrink.tolist() == pytest.approx([0.9522, 0.7971, 1.0], abs=1e-4)


def test_copies_together_are_as_opaque_as_the_one_they_replace() -> None:
    opacities = torch.linspace(0.01, 0.99, 50).repeat(51)
    copies = torch.arange(1, 52).repeat_interleave(50)
    each, shrink = relocation(opacities, copies)
    assert torch.allclose((1 - each.double()) ** copies, 1 - opacities.double(), atol=1e-5)
    assert float(shrink.min()) > 0
    assert float(shrink.max()) <= 1 + 1e-6


def test_the_dead_move_to_the_living_and_both_begin_anew() -> None:
    model = model_of([0.8, 0.001, 0.6, 0.004])
    change = Mcmc(model, growth(max_count=4)).after_backward(NOTHING, at())
    assert change is not None
    assert len(change.sources) == 4
    assert change.sources[[0, 2]].tolist() == [0, 2]
    assert set(change.sources[[1, 3]].tolist()) <= {0, 2}
    copies = torch.bincount(change.sources, minlength=4)
    assert change.fresh.tolist() == [bool(copies[source] > 1) for source in change.sources]
    opacities = change.values["opacity_logits"].sigmoid()
    for row, source in enumerate(change.sources.tolist()):
        together = 1 - (1 - float(opacities[row])) ** int(copies[source])
        assert together == pytest.approx([0.8, 0, 0.6, 0][source], abs=1e-4)


def test_the_count_grows_by_five_per_cent_up_to_the_cap() -> None:
    model = model_of([0.5] * 100)
    change = Mcmc(model, growth(max_count=1000)).after_backward(NOTHING, at())
    assert change is not None
    assert len(change.sources) == 105
    capped = Mcmc(model, growth(max_count=102)).after_backward(NOTHING, at())
    assert capped is not None
    assert len(capped.sources) == 102
    assert Mcmc(model, growth(max_count=100)).after_backward(NOTHING, at()) is None


def test_where_all_are_dead_nothing_moves() -> None:
    assert Mcmc(model_of([0.001] * 3), growth(max_count=10)).after_backward(NOTHING, at()) is None


def test_the_more_opaque_are_copied_more_often() -> None:
    model = model_of([0.9, 0.1] + [0.001] * 2000)
    change = Mcmc(model, growth(max_count=2002)).after_backward(NOTHING, at())
    assert change is not None
    share = (change.sources[2:] == 0).float().mean().item()
    assert share == pytest.approx(0.9, abs=0.03)


def test_noise_moves_transparent_gaussians_along_their_own_axes_and_leaves_opaque_ones() -> None:
    model = model_of([0.9] + [DEAD] * 3000)
    half = torch.tensor(0.5).sqrt()
    with torch.no_grad():
        model.means.zero_()
        model.log_scales.copy_(torch.tensor([0.0, -2.0, -4.0]))
        model.quaternions.copy_(torch.stack([half, half * 0, half * 0, half]))  # x turns to y
    Mcmc(model, growth(max_count=10)).after_step(at(0.0))
    assert torch.equal(model.means[0], torch.zeros(3))
    rate = next(g for g in model.parameter_groups() if g.name == "means").learning_rate(0.0)
    unit = 0.5 * rate * 5e5
    expected = [unit * torch.tensor(-4.0).exp().item(), unit, unit * torch.tensor(-8.0).exp().item()]
    assert model.means[1:].detach().std(0).tolist() == pytest.approx(expected, rel=0.05)


def test_with_more_photographs_a_step_the_noise_grows_as_the_learning_rates_do() -> None:
    moved = []
    for batches in (1, 4):
        model = model_of([DEAD] * 5)
        before = model.means.detach().clone()
        Mcmc(model, growth(max_count=10)).after_step(replace(at(), batches=batches))
        moved.append(model.means.detach() - before)
    assert moved[0].abs().min() > 0
    torch.testing.assert_close(moved[1], 2 * moved[0])


def test_the_same_seed_and_state_give_the_same_change() -> None:
    model = model_of([0.8, 0.001, 0.6, 0.004])
    controller = Mcmc(model, Growth(10, start=0.0, stop=0.8, every=2))
    controller.after_backward(NOTHING, at())
    restored = Mcmc(model, Growth(10, start=0.0, stop=0.8, every=2))
    restored.load_state_dict(controller.state_dict())
    first = controller.after_backward(NOTHING, at(seed=5))
    second = restored.after_backward(NOTHING, at(seed=5))
    assert first is not None
    assert second is not None
    assert torch.equal(first.sources, second.sources)
