"""Densities and colours on a GPU's tensor cores against float64 within what rounding does."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from kernels.gpu.radiance_rounding import Given, expected, sample
from kernels.gpu.rounding import by_feature, check, half_allowed
from torch import Tensor

from scenekit.kernels import OPS
from scenekit.kernels import radiance as op
from scenekit.kernels.gpu import radiance


def _run(given: Given, device: torch.device) -> list[Tensor]:
    """Results, and gradients of encodings, directions and each layer's weights."""
    inputs = given.encoded, given.directions, *given.density, *given.color
    leaves = [x.to(device).requires_grad_() for x in inputs]
    density, color = leaves[2 : 2 + len(given.density)], leaves[2 + len(given.density) :]
    seeds = [x.to(device) for x in (given.for_densities, given.for_colors)]
    with half_allowed():
        results = op(leaves[0], leaves[1], density, color, given.degree, given.log_density)
        found = torch.autograd.grad(results, leaves, seeds)
    return [x.cpu() for x in (*(r.detach() for r in results), *found)]


@pytest.mark.parametrize(
    ("density", "color", "degree", "rows"),
    [
        ([32, 64, 16], [64, 64, 3], 3, 70001),
        ([16, 64, 16], [64, 64, 3], 3, 70000),
        ([64, 64, 16], [64, 64, 3], 3, 20000),
        ([32, 64, 64, 16], [64, 3], 4, 20001),
        ([20, 33, 7], [40, 3], 2, 5000),
        ([128, 128, 64], [128, 128, 128, 3], 3, 3000),
        ([5, 17], [3], 0, 129),
        ([32, 64, 16], [64, 64, 3], 3, 1),
        ([32, 64, 16], [64, 64, 3], 3, 0),
    ],
)
def test_errors_are_those_of_rounding(density: list[int], color: list[int], degree: int, rows: int, gpu: torch.device):
    given = sample(density, color, degree, rows)
    found, again = _run(given, gpu), _run(given, gpu)
    check(found, expected(given))
    assert all(torch.equal(a, b) for a, b in zip(found, again, strict=True))


@pytest.mark.parametrize("plan", radiance.BACKWARD, ids=str)
def test_every_way_to_share_the_work_gives_gradients(
    plan: radiance.Plan, gpu: torch.device, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(radiance, "backward_plan", lambda *_: plan)
    given = sample([20, 33, 7], [40, 3], 2, 70001)
    check(_run(given, gpu), expected(given))


@pytest.mark.parametrize("rows", [70000, 70001])  # whole runs of samples, and not
def test_encodings_by_feature_give_the_same_bits(rows: int, gpu: torch.device):
    given = sample([32, 64, 16], [64, 64, 3], 3, rows)
    wanted, found = _run(given, gpu), _run(replace(given, encoded=by_feature(given.encoded)), gpu)
    assert found[2].stride() == (1, rows)
    assert all(torch.equal(a, b) for a, b in zip(found, wanted, strict=True))


@pytest.mark.parametrize("scales", [(1e-9, 1e-9), (1e-30, 1e-30), (1e20, 1e20), (1e6, 1.0), (1.0, 1e6), (0.0, 1.0)])
def test_gradients_of_any_size_keep_their_digits(scales: tuple[float, float], gpu: torch.device):
    given = sample([32, 64, 16], [64, 64, 3], 3, 4000)
    given = replace(given, for_densities=given.for_densities * scales[0], for_colors=given.for_colors * scales[1])
    check(_run(given, gpu), expected(given))


def test_both_passes_can_be_recorded(gpu: torch.device):
    given = sample([32, 64, 16], [64, 64, 3], 3, 5000)
    widths = [[32, 64, 16], [32, 64, 64, 3]]
    weights = [torch.cat([w.flatten() for w in part]) for part in (given.density, given.color)]
    tensors = [x.to(gpu) for x in (given.for_densities, given.for_colors, given.encoded, given.directions, *weights)]

    def both() -> list[Tensor]:
        arguments = (*tensors[2:], *widths, 3, 0.1)
        results = OPS["radiance"](*arguments)
        return [*results, *OPS["radiance_backward"](*tensors[:2], *results, *arguments, [True, True])]

    with half_allowed():
        both()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            recorded = both()
        for x, factor in zip(tensors, (1e-6, 1e-3, -0.5, -1.0, 0.9, 0.8), strict=True):
            x.mul_(factor)
        graph.replay()
        assert all(torch.equal(a, b) for a, b in zip(recorded, both(), strict=True))
