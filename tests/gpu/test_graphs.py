"""What a CUDA graph captured once and repeats: numbers that change from step to step come from memory."""

from __future__ import annotations

import pytest
import torch

from scenekit.core.protocols import ParameterGroup
from scenekit.training.optimizer import Optimizer


def _optimizer(device: torch.device) -> tuple[Optimizer, list[torch.nn.Parameter]]:
    generator = torch.Generator().manual_seed(4)
    parameters = [torch.nn.Parameter(torch.randn(n, generator=generator).to(device)) for n in (5000, 3, 70)]
    for parameter in parameters:
        parameter.grad = torch.randn(parameter.shape, generator=generator).to(device)
    named = {str(n): p for n, p in enumerate(parameters)}
    groups = [
        ParameterGroup("first", {"0": named.pop("0")}, lambda progress: 0.1 * (1 - progress), sparse=True),
        ParameterGroup("rest", named, lambda progress: 0.01 + progress),
    ]
    return Optimizer(groups), parameters


def test_a_captured_update_takes_the_numbers_of_every_advance(gpu: torch.device):
    warm, _ = _optimizer(gpu)
    warm.advance(0.0)
    warm.update(guarded=True)  # loads the kernel
    mine, found = _optimizer(gpu)
    theirs, wanted = _optimizer(torch.device("cpu"))
    gradients = [parameter.grad for parameter in found]  # their memory stays
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        mine.update(guarded=True)
    for progress in (0.0, 0.3, 0.9):
        mine.advance(progress)
        graph.replay()
        for parameter, gradient in zip(wanted, gradients, strict=True):
            assert gradient is not None
            parameter.grad = gradient.cpu()
        theirs.step(progress)
    assert not mine.bad.any()
    for a, b in zip(found, wanted, strict=True):
        torch.testing.assert_close(a.detach().cpu(), b.detach(), rtol=1e-5, atol=1e-6)


def _matrices(device: torch.device) -> tuple[Optimizer, list[torch.nn.Parameter]]:
    generator = torch.Generator().manual_seed(5)
    parameters = [
        torch.nn.Parameter(torch.randn(shape, generator=generator).to(device))
        for shape in ((128, 63), (128, 128), (28, 128))
    ]
    for parameter in parameters:
        parameter.grad = 1e-4 * torch.randn(parameter.shape, generator=generator).to(device)
    named = {str(n): p for n, p in enumerate(parameters)}
    return Optimizer(
        [ParameterGroup("matrices", named, lambda progress: 0.1 * (1 - progress), betas=(0.95, 0), orthogonal=True)]
    ), parameters


@pytest.mark.parametrize("captured", [True, False])
def test_orthogonal_steps_are_those_of_a_cpu(gpu: torch.device, captured: bool):
    warm, _ = _matrices(gpu)
    warm.step(0.0, guarded=True)
    mine, found = _matrices(gpu)
    theirs, wanted = _matrices(torch.device("cpu"))
    gradients = [parameter.grad for parameter in found]
    before = [parameter.detach().clone() for parameter in wanted]
    graph = torch.cuda.CUDAGraph()
    if captured:
        with torch.cuda.graph(graph):
            mine.update(guarded=True)
    for progress in (0.0, 0.3, 0.6, 0.9):
        if captured:
            mine.advance(progress)
            graph.replay()
        else:  # launched, recorded, and replayed
            for parameter, gradient in zip(found, gradients, strict=True):
                parameter.grad = gradient
            mine.step(progress, guarded=True)
        for parameter, gradient in zip(wanted, gradients, strict=True):
            assert gradient is not None
            parameter.grad = gradient.cpu()
        theirs.step(progress)
    assert not mine.bad.any()
    for a, b, old in zip(found, wanted, before, strict=True):
        assert (b - old).abs().max() > 0.01
        torch.testing.assert_close(a.detach().cpu(), b.detach(), rtol=0, atol=1e-4)


def test_a_matrix_on_a_gpu_whose_gradient_is_no_number_is_left_alone(gpu: torch.device):
    optimizer, parameters = _matrices(gpu)
    before = [parameter.detach().clone() for parameter in parameters]
    gradient = parameters[1].grad
    assert gradient is not None
    gradient[5, 7] = torch.inf
    optimizer.step(0.0, guarded=True)
    assert optimizer.bad.tolist() == [0, 1, 0]
    assert [torch.equal(p.detach(), old) for p, old in zip(parameters, before, strict=True)] == [False, True, False]
