from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor

from scenekit.kernels import mlp
from scenekit.kernels.mlp import MLP

WIDTHS = [[3, 2], [32, 32, 16], [32, 64, 64, 3], [1, 1, 1], [17, 128, 33, 48, 7, 5], [16, 80, 112, 96]]


def _network(widths: list[int], rows: int) -> tuple[Tensor, list[Tensor]]:
    generator = torch.Generator().manual_seed(5)
    weights = [torch.randn(b, a, generator=generator) * (2 / a) ** 0.5 for a, b in itertools.pairwise(widths)]
    return torch.randn(rows, widths[0], generator=generator), weights


def _plain(inputs: Tensor, weights: list[Tensor]) -> Tensor:
    for weight in weights[:-1]:
        inputs = torch.relu(inputs @ weight.T)
    return inputs @ weights[-1].T


def _results(function, inputs: Tensor, weights: list[Tensor]) -> list[Tensor]:
    inputs, weights = inputs.clone().requires_grad_(), [w.clone().requires_grad_() for w in weights]
    outputs = function(inputs, weights)
    seed = torch.randn(outputs.shape, generator=torch.Generator().manual_seed(6)).to(outputs.dtype)
    return [outputs, *torch.autograd.grad(outputs, [inputs, *weights], seed)]


@pytest.mark.parametrize("widths", WIDTHS, ids=str)
@pytest.mark.parametrize("rows", [1, 97, 4500])
def test_values_and_gradients_match_matrix_products_for_any_widths(widths: list[int], rows: int):
    inputs, weights = _network(widths, rows)
    found = _results(mlp, inputs, weights)
    wanted = _results(_plain, inputs.double(), [w.double() for w in weights])
    for a, b in zip(found, wanted, strict=True):
        # A hidden value within rounding of zero may fall on the other side of the ReLU: hence not tighter.
        assert (a.double() - b).abs().max() <= 2e-5 * b.abs().max()


def test_a_dead_hidden_layer_passes_no_gradient():
    weights = [-torch.ones(8, 4), torch.ones(2, 8)]
    _, for_inputs, first, second = _results(mlp, torch.ones(10, 4), weights)
    assert not any(x.abs().max() for x in (for_inputs, first, second))


def test_weight_gradients_do_not_hang_on_which_thread_did_what():
    inputs, weights = _network([32, 64, 16], 70_000)
    first, again = _results(mlp, inputs, weights), _results(mlp, inputs, weights)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))


def test_inputs_without_gradient_get_none():
    inputs, weights = _network([5, 16, 3], 40)
    weights = [w.requires_grad_() for w in weights]
    mlp(inputs, weights).sum().backward()
    assert inputs.grad is None
    assert all(w.grad is not None for w in weights)


def test_not_a_number_stays_visible():
    inputs, weights = _network([16, 16], 3)
    inputs[1, 2] = float("nan")
    assert mlp(inputs, weights)[1].isnan().all()


@pytest.mark.compile
def test_op_traces_into_one_graph():
    inputs, weights = _network([4, 16, 2], 8)
    packed = torch.cat([w.flatten() for w in weights])
    compiled = torch.compile(lambda x, w: MLP(x, w, [4, 16, 2]) * 2, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(inputs, packed), mlp(inputs, weights) * 2)


@pytest.mark.bad_input
def test_matrices_that_do_not_chain_are_named():
    inputs, weights = _network([4, 16, 2], 8)
    with pytest.raises(ValueError, match=r"weights\[1\]: wanted shape \[out 16\], found \[2, 15\]"):
        mlp(inputs, [weights[0], weights[1][:, :15]])
    with pytest.raises(ValueError, match="at least one matrix"):
        mlp(inputs, [])
    with pytest.raises(TypeError, match=r"weights\[0\]: wanted torch\.float64"):
        mlp(inputs.double(), weights)
