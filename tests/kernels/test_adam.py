from __future__ import annotations

import pytest
import torch

from scenekit.kernels.adam import adam_


def _state(count: int, dtype: torch.dtype = torch.float32):
    generator = torch.Generator().manual_seed(0)
    parameter = torch.randn(count, generator=generator, dtype=torch.float64).to(dtype)
    return parameter, torch.zeros_like(parameter), torch.zeros_like(parameter), generator


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
        adam_(parameter, gradient, moment1, moment2, **settings, step=step)
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
    adam_(dense[0], gradient, *dense[1:], **settings)
    adam_(sparse[0], gradient, *sparse[1:], **settings, sparse=True)
    for before, mine, full in zip((parameter, moment1, moment2), sparse, dense, strict=True):
        assert torch.equal(mine, torch.where(gradient == 0, before, full))


def test_a_parameter_with_gaps_in_memory_is_updated_in_place():
    parameter, moment1, moment2, generator = _state(40)
    gradient = torch.randn(40, generator=generator)
    wide = torch.stack([parameter, parameter], -1)
    adam_(wide[:, 0], gradient, moment1.clone(), moment2.clone(), learning_rate=0.1, step=1)
    untouched = parameter.clone()
    adam_(parameter, gradient, moment1, moment2, learning_rate=0.1, step=1)
    assert torch.equal(wide[:, 0], parameter)
    assert torch.equal(wide[:, 1], untouched)


def test_a_leaf_that_requires_a_gradient_is_taken():
    parameter = torch.ones(3, requires_grad=True)
    adam_(parameter, torch.ones(3), torch.zeros(3), torch.zeros(3), learning_rate=0.5, step=1)
    torch.testing.assert_close(parameter.detach(), torch.full((3,), 0.5))


@pytest.mark.bad_input
def test_wrong_shapes_and_steps_are_refused_by_name():
    one, two = torch.zeros(1), torch.zeros(2)
    with pytest.raises(ValueError, match="moment1: wanted shape"):
        adam_(two, two, one, two, learning_rate=0.1, step=1)
    with pytest.raises(ValueError, match="step: wanted 1 or more"):
        adam_(two, two, two, two, learning_rate=0.1, step=0)
    with pytest.raises(TypeError, match="gradient"):
        adam_(two, two.double(), two, two, learning_rate=0.1, step=1)
