from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from scenekit.kernels.adam import adam_, adam_numbers


def _state(count: int, dtype: torch.dtype = torch.float32):
    generator = torch.Generator().manual_seed(0)
    parameter = torch.randn(count, generator=generator, dtype=torch.float64).to(dtype)
    return parameter, torch.zeros_like(parameter), torch.zeros_like(parameter), generator


def _step(*state: Tensor, **settings: Any) -> None:
    """One parameter, as torch.optim.Adam would take its settings."""
    ours = {name: settings.pop(name) for name in ("clear", "bad") if name in settings}
    sparse = [settings.pop("sparse", False)]
    numbers = torch.tensor([adam_numbers(**{"step": 1, **settings})])
    parameter, gradient, moment1, moment2 = ([x] for x in state)
    adam_(parameter, gradient, moment1, moment2, numbers, sparse=sparse, **ours)


@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
@pytest.mark.parametrize("eps", [1e-8, 1e-15])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_dense_steps_match_torch(dtype: torch.dtype, eps: float, weight_decay: float):
    parameter, moment1, moment2, generator = _state(70_003, dtype)
    theirs = parameter.double().requires_grad_()
    optimizer = torch.optim.Adam([theirs], lr=0.01, betas=(0.9, 0.99), eps=eps, weight_decay=weight_decay)
    for step in range(1, 8):
        gradient = torch.randn(len(parameter), generator=generator, dtype=torch.float64).to(dtype)
        settings = {"learning_rate": 0.01, "betas": (0.9, 0.99), "eps": eps, "weight_decay": weight_decay}
        _step(parameter, gradient, moment1, moment2, step=step, **settings)
        theirs.grad = gradient.double()
        optimizer.step()
    torch.testing.assert_close(parameter.double(), theirs.detach(), rtol=1e-5, atol=2e-6)


def test_a_sparse_step_leaves_entries_without_gradient_alone():
    parameter, moment1, moment2, generator = _state(1000)
    moment1.normal_(generator=generator)
    moment2.uniform_(generator=generator)
    gradient = torch.randn(1000, generator=generator)
    gradient[torch.rand(1000, generator=generator) < 0.8] = 0
    gradient[100:400] = 0
    dense, sparse = ([x.clone() for x in (parameter, moment1, moment2)] for _ in range(2))
    settings = {"learning_rate": 0.01, "weight_decay": 0.1, "step": 3}
    _step(dense[0], gradient, *dense[1:], **settings)
    _step(sparse[0], gradient, *sparse[1:], **settings, sparse=True)
    for before, mine, full in zip((parameter, moment1, moment2), sparse, dense, strict=True):
        assert torch.equal(mine, torch.where(gradient == 0, before, full))


def test_many_parameters_at_once_are_what_each_is_alone():
    generator = torch.Generator().manual_seed(1)
    shapes = [(40,), (3, 50), (), (0,), (7, 2, 5), *[(n,) for n in range(1, 9)]]
    states = [[torch.randn(s, generator=generator) for s in shapes] for _ in range(4)]
    states[3] = [x.abs() for x in states[3]]
    alone = [[x.clone() for x in part] for part in states]
    rows, sparse = [n % 3 for n in range(len(shapes))], [n % 2 == 0 for n in range(len(shapes))]
    numbers = torch.tensor([adam_numbers(learning_rate=10.0**-n, eps=1e-9, step=n + 1) for n in range(3)])
    adam_(states[0], states[1], states[2], states[3], numbers, rows=rows, sparse=sparse)
    for n, state in enumerate(zip(*alone, strict=True)):
        one = [[x] for x in state]
        adam_(one[0], one[1], one[2], one[3], numbers[rows[n]][None], sparse=[sparse[n]])
    for mine, theirs in zip(states, alone, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(mine, theirs, strict=True))


@pytest.mark.parametrize("sparse", [False, True])
def test_gradients_that_are_no_numbers_are_left_out_and_told_of(sparse: bool):
    parameter, moment1, moment2, generator = _state(1000)
    gradient = torch.randn(1000, generator=generator)
    wrong = torch.zeros(1000, dtype=torch.bool)
    wrong[[3, 500, 999]] = True
    before = parameter.clone(), moment1.clone(), moment2.clone()
    plain = [x.clone() for x in before]
    _step(plain[0], gradient, *plain[1:], learning_rate=0.1, sparse=sparse)
    gradient[3], gradient[500], gradient[999] = torch.nan, torch.inf, -torch.inf
    bad = torch.zeros(1, dtype=torch.int32)
    _step(parameter, gradient, moment1, moment2, learning_rate=0.1, sparse=sparse, bad=bad, clear=True)
    for found, old, new in zip((parameter, moment1, moment2), before, plain, strict=True):
        torch.testing.assert_close(found, torch.where(wrong, old, new))
    assert bad.tolist() == [1]
    assert not gradient.any()
    _step(parameter, gradient + 1, moment1, moment2, learning_rate=0.1, bad=bad)
    assert bad.tolist() == [1]  # until whoever reads it says otherwise


def test_a_cleared_gradient_is_zero_and_another_stays():
    parameter, moment1, moment2, generator = _state(40)
    gradient = torch.randn(40, generator=generator)
    wide = torch.stack([gradient, gradient], -1)
    _step(parameter, gradient, moment1, moment2, learning_rate=0.1)
    assert gradient.all()
    _step(parameter, wide[:, 0], moment1, moment2, learning_rate=0.1, clear=True)
    assert not wide[:, 0].any()
    assert torch.equal(wide[:, 1], gradient)


def test_a_parameter_with_gaps_in_memory_is_updated_in_place():
    parameter, moment1, moment2, generator = _state(40)
    gradient = torch.randn(40, generator=generator)
    wide = torch.stack([parameter, parameter], -1)
    _step(wide[:, 0], gradient, moment1.clone(), moment2.clone(), learning_rate=0.1)
    untouched = parameter.clone()
    _step(parameter, gradient, moment1, moment2, learning_rate=0.1)
    assert torch.equal(wide[:, 0], parameter)
    assert torch.equal(wide[:, 1], untouched)


def test_a_leaf_that_requires_a_gradient_is_taken():
    parameter = torch.ones(3, requires_grad=True)
    _step(parameter, torch.ones(3), torch.zeros(3), torch.zeros(3), learning_rate=0.5)
    torch.testing.assert_close(parameter.detach(), torch.full((3,), 0.5))


@pytest.mark.bad_input
def test_wrong_shapes_and_steps_are_refused_by_name():
    one, two = torch.zeros(1), torch.zeros(2)
    with pytest.raises(ValueError, match="moment1: wanted shape"):
        _step(two, two, one, two, learning_rate=0.1)
    with pytest.raises(ValueError, match="step: wanted 1 or more"):
        adam_numbers(learning_rate=0.1, step=0)
    with pytest.raises(TypeError, match="gradient"):
        _step(two, two.double(), two, two, learning_rate=0.1)
    numbers = torch.tensor([adam_numbers(learning_rate=0.1, step=1)])
    with pytest.raises(ValueError, match="wanted as many of everything"):
        adam_([two], [two], [two], [], numbers)
    with pytest.raises(ValueError, match="numbers: wanted"):
        adam_([two], [two], [two], [two], numbers, rows=[1])
    with pytest.raises(ValueError, match="bad: wanted int32"):
        adam_([two], [two], [two], [two], numbers, bad=torch.zeros(1))
