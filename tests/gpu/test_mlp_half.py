"""The multilayer perceptron on a GPU's tensor cores against float64 within what rounding does."""

from __future__ import annotations

import pytest
import torch
from kernels.gpu.rounding import by_feature, check, expected, half_allowed, sample
from torch import Tensor

from scenekit.kernels import OPS, mlp
from scenekit.kernels.gpu import mlp_half


def _run(gradient: Tensor, inputs: Tensor, weights: list[Tensor], device: torch.device) -> list[Tensor]:
    """Outputs, and gradients of inputs and of each layer's weights."""
    leaves = [x.to(device).requires_grad_() for x in (inputs, *weights)]
    with half_allowed():
        outputs = mlp(leaves[0], leaves[1:])
        return [x.cpu() for x in (outputs.detach(), *torch.autograd.grad(outputs, leaves, gradient.to(device)))]


@pytest.mark.parametrize(
    ("widths", "rows"),
    [
        ([32, 64, 16], 70001),
        ([32, 64, 64, 3], 70001),
        ([64, 64, 64, 64, 64, 16], 20000),
        ([32, 128, 128, 16], 20000),
        ([128, 128, 128, 128, 128, 128], 3000),
        ([3, 20, 33, 100, 2], 5000),
        ([16, 16], 129),
        ([1, 1], 1),
        ([32, 64, 16], 0),
    ],
)
def test_errors_are_those_of_rounding(widths: list[int], rows: int, gpu: torch.device):
    given = sample(widths, rows)
    found, again = _run(*given, gpu), _run(*given, gpu)
    check(found, expected(*given))
    assert all(torch.equal(a, b) for a, b in zip(found, again, strict=True))


@pytest.mark.parametrize("plan", mlp_half.BACKWARD, ids=str)
def test_every_way_to_share_the_work_gives_gradients(
    plan: mlp_half.Plan, gpu: torch.device, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(mlp_half, "backward_plan", lambda *_: plan)
    given = sample([20, 48, 33, 5], 70001)
    check(_run(*given, gpu), expected(*given))


@pytest.mark.parametrize("scale", [1e-9, 1e-35, 1e30])
def test_gradients_of_any_size_keep_their_digits(scale: float, gpu: torch.device):
    gradient, inputs, weights = sample([32, 64, 16], 4000)
    found = _run(gradient * scale, inputs, weights, gpu)[1:]
    check([(x.double() / scale).float() for x in found], expected(gradient, inputs, weights)[1:])


@pytest.mark.parametrize("widths", [[32, 64, 16], [32, 64, 64, 3], [32, 128, 128, 16]])
@pytest.mark.parametrize("rows", [70000, 70001])  # whole runs of samples, and not
def test_inputs_by_feature_give_the_same_bits(rows: int, widths: list[int], gpu: torch.device):
    gradient, inputs, weights = sample(widths, rows)
    wanted, found = _run(gradient, inputs, weights, gpu), _run(gradient, by_feature(inputs), weights, gpu)
    assert found[1].stride() == (1, rows)
    assert all(torch.equal(a, b) for a, b in zip(found, wanted, strict=True))


def test_both_passes_can_be_recorded(gpu: torch.device):
    widths = [32, 64, 16]
    gradient, inputs, weights = sample(widths, 5000)
    given = [x.to(gpu) for x in (gradient, inputs, torch.cat([w.flatten() for w in weights]))]

    def both() -> list[Tensor]:
        return [OPS["mlp"](*given[1:], widths), *OPS["mlp_backward"](*given, widths, True)]

    with half_allowed():
        both()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            recorded = both()
        for x, factor in zip(given, (1e-6, -0.5, 0.9), strict=True):
            x.mul_(factor)
        graph.replay()
        assert all(torch.equal(a, b) for a, b in zip(recorded, both(), strict=True))
