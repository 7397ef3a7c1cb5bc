"""Densities and colours on tensor cores, emulated, against float64 within what rounding does."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from scenekit.kernels import OPS
from scenekit.kernels.gpu import radiance

from .emulator import COMPILER, emulated
from .radiance_rounding import Given, expected, sample
from .rounding import by_feature, check, half_allowed

pytestmark = pytest.mark.skipif(COMPILER is None, reason="needs a C++ compiler")

SMALL = [20, 33, 7], [40, 3], 2


def run(given: Given, to_encoded: bool = True, to_directions: bool = True) -> list[Tensor]:
    """What the bodies find: results, and gradients of encodings, directions and each layer's weights."""
    weights = [torch.cat([w.flatten() for w in part]) for part in (given.density, given.color)]
    widths = [[part[0].shape[1], *(w.shape[0] for w in part)] for part in (given.density, given.color)]
    arguments = (given.encoded, given.directions, *weights, *widths, given.degree, given.log_density)
    with half_allowed():
        results = OPS["radiance"].cuda(*arguments)  # type: ignore[reportOptionalCall]
        assert len(results[2]) == 0, "the kernels did not serve"
        gradients = given.for_densities, given.for_colors
        found = OPS["radiance_backward"].cuda(*gradients, *results, *arguments, [to_encoded, to_directions])  # type: ignore[reportOptionalCall]
    parts = [
        piece.view_as(w)
        for flat, of in zip(found[2:], (given.density, given.color), strict=True)
        for piece, w in zip(flat.split([w.numel() for w in of]), of, strict=True)
    ]
    return [*results[:2], *found[:2], *parts]


@pytest.mark.parametrize("architecture", ["sm_75", "sm_90"])
@pytest.mark.parametrize(
    ("density", "color", "degree", "rows"),
    [
        ([32, 64, 16], [64, 64, 3], 3, 300),
        ([16, 64, 16], [64, 64, 3], 3, 65),
        ([64, 64, 16], [64, 64, 3], 3, 64),
        ([20, 33, 7], [40, 3], 4, 130),
        ([5, 17], [3], 0, 33),
        ([3, 20, 20, 33], [18, 18, 18, 3], 1, 1),
        ([32, 64, 16], [64, 64, 3], 3, 0),
    ],
)
def test_errors_are_those_of_rounding(
    density: list[int],
    color: list[int],
    degree: int,
    rows: int,
    architecture: str,
    monkeypatch: pytest.MonkeyPatch,
):
    given = sample(density, color, degree, rows)
    with emulated(monkeypatch, architecture):
        found = run(given)
    check(found, expected(given))


@pytest.mark.parametrize("plan", radiance.BACKWARD, ids=str)
def test_every_way_to_share_the_work_gives_gradients(plan: radiance.Plan, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(radiance, "backward_plan", lambda *_: plan)
    given = sample(*SMALL, 3 * plan.tile + 7)  # a second tile for some blocks, and part of one
    with emulated(monkeypatch):
        found, again = run(given), run(given)
    check(found, expected(given))
    assert all(torch.equal(a, b) for a, b in zip(found, again, strict=True))


@pytest.mark.parametrize("plan", radiance.FORWARD, ids=str)
def test_every_way_to_share_the_work_gives_results(plan: radiance.Plan, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(radiance, "forward_plan", lambda *_: plan)
    given = sample(*SMALL, 2 * plan.blocks * plan.tile + 7)
    with emulated(monkeypatch):
        found = run(given)
    check(found[:2], expected(given)[:2])


@pytest.mark.parametrize("height", [1, 2])
@pytest.mark.parametrize("rows", [256, 259])  # whole runs of samples, and not
def test_encodings_by_feature_give_the_same_bits(rows: int, height: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(radiance, "backward_plan", lambda *_: radiance.Plan(4, height, 2))
    given = sample(*SMALL, rows)
    with emulated(monkeypatch):
        wanted, found = run(given), run(replace(given, encoded=by_feature(given.encoded)))
    assert found[2].stride() == (1, rows)
    assert all(torch.equal(a, b) for a, b in zip(found, wanted, strict=True))


@pytest.mark.parametrize("wanted", [(True, False), (False, True), (False, False)])
def test_gradients_that_nobody_wants_change_no_others(wanted: tuple[bool, bool], monkeypatch: pytest.MonkeyPatch):
    given = sample(*SMALL, 150)
    with emulated(monkeypatch):
        every, found = run(given), run(given, *wanted)
    for position, (a, b) in enumerate(zip(found, every, strict=True)):
        empty = position in (2, 3) and not wanted[position - 2]
        assert a.numel() == 0 if empty else torch.equal(a, b)


@pytest.mark.parametrize("scales", [(1e-9, 1e-9), (1e-30, 1e-30), (1e20, 1e20), (1e6, 1.0), (1.0, 1e6), (0.0, 1.0)])
def test_gradients_of_any_size_keep_their_digits(scales: tuple[float, float], monkeypatch: pytest.MonkeyPatch):
    given = sample(*SMALL, 150)
    given = replace(given, for_densities=given.for_densities * scales[0], for_colors=given.for_colors * scales[1])
    with emulated(monkeypatch):
        found = run(given)
    check(found, expected(given))


def test_densities_far_apart_are_each_within_rounding(monkeypatch: pytest.MonkeyPatch):
    given = sample([8, 16], [24, 3], 1, 200)
    given.density[0][0] *= 8
    given = replace(given, for_densities=given.for_densities * 1e-3)
    with emulated(monkeypatch):
        found = run(given)
    wanted = expected(given)
    assert wanted[0].exact.max() > 1e9 * wanted[0].exact.min()
    check(found, wanted)


def test_saturated_densities_neither_die_nor_explode(monkeypatch: pytest.MonkeyPatch):
    given = sample(*SMALL, 100)
    for log_density in (-40.0, 40.0):
        saturated = replace(given, log_density=log_density)
        with emulated(monkeypatch):
            found = run(saturated)
        wanted = expected(saturated)
        torch.testing.assert_close(found[0].double(), wanted[0].exact, rtol=0.1, atol=1e-30)
        check(found[1:], wanted[1:])


@pytest.mark.parametrize("value", [float("inf"), float("nan")])
@pytest.mark.parametrize("which", ["for_densities", "for_colors"])
def test_a_gradient_that_is_no_number_is_not_hidden(which: str, value: float, monkeypatch: pytest.MonkeyPatch):
    given = sample(*SMALL, 40)
    getattr(given, which)[7] = value
    with emulated(monkeypatch):
        found = run(given)[2:]
    assert all(x.isnan().all() for x in found)


def test_an_encoding_that_is_no_number_is_not_hidden(monkeypatch: pytest.MonkeyPatch):
    given = sample(*SMALL, 40)
    given.encoded[3, 2] = torch.nan
    with emulated(monkeypatch):
        densities, colors = run(given)[:2]
    assert densities.isnan().nonzero().flatten().tolist() == [3]
    assert colors[3].isnan().all()


@pytest.mark.parametrize(("density", "color"), [([16, 144, 3], [16, 3]), ([8, 120], [16, 3]), ([8] * 7, [16, 3])])
def test_what_is_too_wide_or_too_deep_is_composed(
    density: list[int], color: list[int], monkeypatch: pytest.MonkeyPatch
):
    given = sample(density, color, 3, 20)
    weights = [torch.cat([w.flatten() for w in part]) for part in (given.density, given.color)]
    widths = [density, [density[-1] + 16, *color]]
    with emulated(monkeypatch), half_allowed():
        found = OPS["radiance"].cuda(given.encoded, given.directions, *weights, *widths, 3, 0.0)  # type: ignore[reportOptionalCall]
    assert found[2].shape == (20, density[-1] + 16)
