"""What a CUDA graph captured once and repeats: numbers that change from step to step come from memory."""

from __future__ import annotations

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
