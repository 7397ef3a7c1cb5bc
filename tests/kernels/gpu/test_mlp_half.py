"""The multilayer perceptron on tensor cores, emulated, against float64 within what rounding does."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from scenekit.kernels import OPS
from scenekit.kernels.gpu import mlp, mlp_half

from .emulator import COMPILER, emulated
from .rounding import UNIT, by_feature, check, expected, half_allowed, sample

pytestmark = pytest.mark.skipif(COMPILER is None, reason="needs a C++ compiler")


def run(gradient: Tensor, inputs: Tensor, weights: list[Tensor], to_inputs: bool = True) -> list[Tensor]:
    """What the bodies find: outputs, and gradients of inputs and of each layer's weights."""
    widths = [inputs.shape[1], *(w.shape[0] for w in weights)]
    flat = torch.cat([w.flatten() for w in weights])
    with half_allowed():
        outputs = OPS["mlp"].cuda(inputs, flat, widths)  # type: ignore[reportOptionalCall]
        for_inputs, for_weights = OPS["mlp_backward"].cuda(gradient, inputs, flat, widths, to_inputs)  # type: ignore[reportOptionalCall]
    parts = for_weights.split([w.numel() for w in weights])
    return [outputs, for_inputs, *(p.view_as(w) for p, w in zip(parts, weights, strict=True))]


@pytest.mark.parametrize("architecture", ["sm_75", "sm_90"])
@pytest.mark.parametrize(
    ("widths", "rows"),
    [
        ([32, 64, 16], 300),
        ([32, 64, 64, 3], 130),
        ([64, 64, 64, 64, 64, 16], 65),
        ([3, 20, 33, 100, 2], 150),
        ([100, 128, 128, 7], 40),
        ([33, 3], 129),
        ([16, 16], 1),
        ([1, 1, 1], 33),
        ([32, 64, 16], 0),
    ],
)
def test_errors_are_those_of_rounding(widths: list[int], rows: int, architecture: str, monkeypatch: pytest.MonkeyPatch):
    given = sample(widths, rows)
    with emulated(monkeypatch, architecture):
        found = run(*given)
    check(found, expected(*given))


WIDTHS = [20, 48, 33, 5]


@pytest.mark.parametrize("plan", mlp_half.BACKWARD, ids=str)
def test_every_way_to_share_the_work_gives_gradients(plan: mlp_half.Plan, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(mlp_half, "backward_plan", lambda *_: plan)
    given = sample(WIDTHS, 3 * plan.tile + 7)  # a second tile for some blocks, and part of one
    with emulated(monkeypatch):
        found, again = run(*given), run(*given)
    check(found, expected(*given))
    assert all(torch.equal(a, b) for a, b in zip(found, again, strict=True))


@pytest.mark.parametrize("plan", [mlp_half.BACKWARD[0], mlp_half.BACKWARD[1]], ids=str)  # of both heights
@pytest.mark.parametrize("rows", [256, 259])  # whole runs of samples, and not
def test_inputs_by_feature_give_the_same_bits(rows: int, plan: mlp_half.Plan, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(mlp_half, "backward_plan", lambda *_: plan)
    gradient, inputs, weights = sample(WIDTHS, rows)
    with emulated(monkeypatch):
        wanted, found = run(gradient, inputs, weights), run(gradient, by_feature(inputs), weights)
    assert found[1].stride() == (1, rows)
    assert all(torch.equal(a, b) for a, b in zip(found, wanted, strict=True))


@pytest.mark.parametrize("plan", mlp_half.FORWARD, ids=str)
def test_every_way_to_share_the_work_gives_outputs(plan: mlp_half.Plan, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(mlp_half, "forward_plan", lambda *_: plan)
    given = sample(WIDTHS, 2 * plan.blocks * plan.tile + 7)
    with emulated(monkeypatch):
        found = run(*given, to_inputs=False)
    assert found[1].numel() == 0
    check(found[:1], expected(*given)[:1])


@pytest.mark.parametrize("scale", [1e-9, 1e-35, 1e30])
def test_gradients_of_any_size_keep_their_digits(scale: float, monkeypatch: pytest.MonkeyPatch):
    gradient, inputs, weights = sample(WIDTHS, 70)
    gradient[0] *= 2.0**-16  # a sample that matters little beside the others
    with emulated(monkeypatch):
        found = run(gradient * scale, inputs, weights)[1:]
    wanted = expected(gradient, inputs, weights)[1:]
    check([(x.double() / scale).float() for x in found], wanted)
    assert (found[0][0].double() / scale - wanted[0].exact[0]).norm() <= UNIT**0.5 * wanted[0].exact[0].norm()


def test_samples_without_a_gradient_get_zeros_and_give_nothing(monkeypatch: pytest.MonkeyPatch):
    gradient, inputs, weights = sample(WIDTHS, 200)
    some = torch.arange(200) % 3 == 0
    gradient[~some] = 0
    with emulated(monkeypatch):
        found, nothing = run(gradient, inputs, weights)[1:], run(0 * gradient, inputs, weights)[1:]
    assert found[0][~some].eq(0).all()
    assert found[0][some].ne(0).any(1).all()
    assert all(x.eq(0).all() for x in nothing)


@pytest.mark.parametrize("value", [float("inf"), float("nan")])
def test_a_gradient_that_is_no_number_is_not_hidden(value: float, monkeypatch: pytest.MonkeyPatch):
    gradient, inputs, weights = sample(WIDTHS, 40)
    gradient[7, 1] = value
    with emulated(monkeypatch):
        found = run(gradient, inputs, weights)[1:]
    assert all(x.isnan().all() for x in found)


def test_numbers_beyond_half_precision_are_held_at_its_end(monkeypatch: pytest.MonkeyPatch):
    inputs, weight = torch.tensor([[1e6, -1e6], [torch.nan, 1.0]]), torch.eye(2)
    with emulated(monkeypatch):
        found = run(torch.zeros(2, 2), inputs, [weight])[0]
    assert found[0].tolist() == [65504.0, -65504.0]
    assert found[1].isnan().all()


def test_the_float32_body_serves_unless_less_is_allowed(monkeypatch: pytest.MonkeyPatch):
    _, inputs, weights = sample(WIDTHS, 10)
    flat = torch.cat([w.flatten() for w in weights])
    with emulated(monkeypatch):
        found = OPS["mlp"].cuda(inputs, flat, WIDTHS)  # type: ignore[reportOptionalCall]
        assert torch.equal(found, mlp.forward(inputs, flat, WIDTHS))


@pytest.mark.parametrize("widths", [[16, 144, 3], [8] * 7])
def test_what_is_too_wide_or_too_deep_stays_float32(widths: list[int], monkeypatch: pytest.MonkeyPatch):
    given = sample(widths, 20)
    with emulated(monkeypatch):
        found = run(*given)
    for a, b in zip(found, expected(*given), strict=True):
        torch.testing.assert_close(a.double(), b.exact, rtol=1e-4, atol=1e-5 * float(b.exact.abs().max()))
