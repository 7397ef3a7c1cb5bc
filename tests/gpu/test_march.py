"""The marcher's samples on a GPU are those of a CPU, bit by bit, in every way of asking for them."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from kernels.gpu.test_march import SPACES, arguments_in
from torch import Tensor

from scenekit.kernels import OPS


@pytest.mark.parametrize("counted", [False, True])
@pytest.mark.parametrize("capacity", [-1, 0, 700, 100_000])
@pytest.mark.parametrize("lanes", [8, 16, 32])
@pytest.mark.parametrize("space", SPACES, ids=str)
def test_samples_are_those_of_the_cpu(
    space: Any, lanes: int, capacity: int, counted: bool, gpu: torch.device, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("scenekit.kernels.gpu.march.LANES", lanes)
    arguments = *arguments_in(*space), capacity, torch.arange(150) * 5 % 23 if counted else None, None
    found = OPS["march"](*(x.to(gpu) if isinstance(x, Tensor) else x for x in arguments))
    for a, b in zip(found, OPS["march"](*arguments), strict=True):
        assert torch.equal(a.cpu(), b)
