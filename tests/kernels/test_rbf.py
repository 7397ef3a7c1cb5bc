from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from scenekit.kernels.nearest import nearest
from scenekit.kernels.rbf import KERNELS, adaptive_rbf, rbf_neurons

# By hand: values at r^2 = 0, 0.25 and 4, and derivatives by r^2 at the last two.
BY_HAND = {
    "gaussian": ((1.0, math.exp(-0.125), math.exp(-2)), (-0.5 * math.exp(-0.125), -0.5 * math.exp(-2))),
    "inverse_quadratic": ((1.0, 0.8, 0.2), (-0.64, -0.04)),
    "inverse_multiquadric": ((1.0, 1.25**-0.5, 5**-0.5), (-0.5 * 1.25**-1.5, -0.5 * 5**-1.5)),
    "wendland_c2": ((1.0, 0.5**4 * 3, 0.0), (-10 * 0.5**3, 0.0)),
}


def _double(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("name", sorted(KERNELS))
def test_kernels_have_the_values_and_slopes_of_their_formulas(name: str):
    squared = torch.tensor([0.0, 0.25, 4.0], dtype=torch.float64, requires_grad=True)
    values = KERNELS[name](squared)
    (slopes,) = torch.autograd.grad(values.sum(), squared)
    wanted, derivatives = BY_HAND[name]
    torch.testing.assert_close(values.detach(), torch.tensor(wanted, dtype=torch.float64), rtol=0, atol=1e-9)
    torch.testing.assert_close(slopes[1:], torch.tensor(derivatives, dtype=torch.float64), rtol=0, atol=1e-9)
    assert slopes.isfinite().all()


@pytest.mark.parametrize("name", sorted(KERNELS))
def test_two_products_equal_the_direct_form_and_its_gradients(name: str):
    features, centers, logs = (_double(*s, seed=i) for i, s in enumerate([(30, 6), (5, 6), (5, 6)]))
    leaves = [x.mul(0.4).requires_grad_() for x in (features, centers, logs)]
    direct = KERNELS[name]((leaves[2].exp() * (leaves[0][:, None] - leaves[1]).square()).sum(-1))
    found = rbf_neurons(leaves[0], leaves[1], leaves[2], name)
    torch.testing.assert_close(found, direct, rtol=0, atol=1e-12)
    seed = _double(30, 5, seed=9)
    for a, b in zip(torch.autograd.grad(found, leaves, seed), torch.autograd.grad(direct, leaves, seed), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-10)
    assert torch.autograd.gradcheck(lambda f, c, b: rbf_neurons(f, c, b, name), leaves)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_a_feature_at_a_centre_far_from_the_origin_is_not_beyond_one(dtype: torch.dtype):
    features = torch.full((1, 4), 30.0, dtype=dtype)
    zeros = torch.zeros(1, 4, dtype=dtype)
    assert rbf_neurons(features, features, zeros).item() <= 1


def _shapes(count: int) -> tuple[Tensor, Tensor]:
    return torch.rand(count, 2, generator=torch.Generator().manual_seed(1)).double(), 4 * _double(count, 2, 2, seed=2)


@pytest.mark.parametrize("name", sorted(KERNELS))
def test_adaptive_functions_are_the_sum_over_neighbours_one_by_one(name: str):
    shapes, values = _shapes(20), _double(20, 3, seed=3)
    frequencies = torch.tensor([1.0, 2.0, 8.0], dtype=torch.float64)
    position = torch.tensor([[0.4, 0.6]], dtype=torch.float64)
    near = nearest(position, shapes[0], 4)
    basis = [KERNELS[name]((shapes[1][i] @ (position[0] - shapes[0][i])).square().sum()) for i in near[0]]
    total = sum(basis) + 1e-8
    wanted = sum((values[i] * (frequencies * b / total).sin() for i, b in zip(near[0], basis, strict=True)), 0.0)
    found = adaptive_rbf(position, near, shapes, values, frequencies, name)
    torch.testing.assert_close(found[0], wanted, rtol=0, atol=1e-12)


def test_the_sum_that_normalises_takes_no_gradient():
    """One neighbour: normalised it is 1 everywhere, and yet the position has a slope."""
    shapes, values = _shapes(1), torch.ones(1, 1, dtype=torch.float64)
    position = (shapes[0] + 0.05).requires_grad_()
    one = torch.ones(1, dtype=torch.float64)
    found = adaptive_rbf(position, torch.zeros(1, 1, dtype=torch.int64), shapes, values, one)
    assert found.item() == pytest.approx(math.sin(1.0), abs=1e-6)
    assert torch.autograd.grad(found, position)[0].abs().max() > 0.1


def test_gradients_of_adaptive_functions_match_finite_differences_in_the_values():
    shapes, frequencies = _shapes(20), torch.tensor([1.0, 3.0], dtype=torch.float64)
    positions = torch.rand(6, 2, generator=torch.Generator().manual_seed(4)).double()
    near = nearest(positions, shapes[0], 3)
    values = _double(20, 2, seed=5).requires_grad_()
    assert torch.autograd.gradcheck(lambda v: adaptive_rbf(positions, near, shapes, v, frequencies), values)


@pytest.mark.bad_input
def test_wrong_arguments_are_named():
    features, centers = torch.rand(3, 4), torch.rand(2, 4)
    with pytest.raises(ValueError, match=r"kernel: wanted one of gaussian, .*found sinc"):
        rbf_neurons(features, centers, centers, "sinc")
    with pytest.raises(ValueError, match=r"centers: wanted shape \[K F\] with F = 4, found \[2, 3\]"):
        rbf_neurons(features, centers[:, 1:], centers)
    with pytest.raises(TypeError, match="centers: wanted"):
        rbf_neurons(features, centers.double(), centers)
