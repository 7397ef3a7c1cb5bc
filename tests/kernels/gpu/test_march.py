"""The marcher's samples are those of the C loops, bit by bit, whatever the grid, the steps and the lanes of a ray."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from scenekit.kernels import OPS, native
from scenekit.kernels.march import StepRule

from .emulator import COMPILER, emulated

pytestmark = pytest.mark.skipif(COMPILER is None or native.library() is None, reason="needs a C++ compiler")

SPACES = [
    (1, 7, StepRule(0.01, 0.01), 1000),
    (1, 33, StepRule(0.02, 0.02), 20),
    (3, 16, StepRule(0.01, 0.2, 0.01), 200),
    (2, 4, StepRule(0.05, 0.5, 0.1), 64),
]


def arguments_in(cascades: int, grid: int, rule: StepRule, most: int) -> tuple[Any, ...]:
    generator = torch.Generator().manual_seed(9)
    rays = 150
    origins = torch.randn(rays, 3, generator=generator)
    directions = torch.nn.functional.normalize(torch.randn(rays, 3, generator=generator), dim=-1)
    directions[:3] = torch.eye(3)  # along the axes: divisions by 0
    near, jitter = torch.rand(2, rays, generator=generator)
    far = torch.full((rays,), math.inf)
    far[::4] = near[::4]
    occupancy = torch.rand(cascades, grid, grid, grid, generator=generator) < 0.1
    return origins, directions, near, far, occupancy, jitter, rule.packed(torch.float32, torch.device("cpu")), most


def _compare(arguments: tuple[Any, ...], monkeypatch: pytest.MonkeyPatch) -> list[torch.Tensor]:
    with emulated(monkeypatch):
        found = OPS["march"].cuda(*arguments)  # type: ignore[reportOptionalCall]
    for a, b in zip(found, OPS["march"](*arguments), strict=True):
        assert torch.equal(a, b)
    return found


@pytest.mark.parametrize("lanes", [2, 8, 32])
@pytest.mark.parametrize("space", SPACES, ids=str)
def test_samples_are_those_of_the_cpu(space: Any, lanes: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("scenekit.kernels.gpu.march.LANES", lanes)
    found = _compare((*arguments_in(*space), -1, None, None), monkeypatch)
    assert len(found[0]) > 150


@pytest.mark.parametrize("counted", [False, True])
@pytest.mark.parametrize("capacity", [-1, 0, 700, 100_000])
def test_rays_that_have_no_room_are_those_of_the_cpu(capacity: int, counted: bool, monkeypatch: pytest.MonkeyPatch):
    counts = torch.arange(150) * 5 % 23 if counted else None
    found = _compare((*arguments_in(*SPACES[2]), capacity, counts, None), monkeypatch)
    assert len(found[0]) in (capacity, found[3])


def test_counts_below_nothing_touch_no_memory_but_their_own(monkeypatch: pytest.MonkeyPatch):
    counts = torch.arange(150) * 5 % 23 - 11
    with emulated(monkeypatch):
        OPS["march"].cuda(*arguments_in(*SPACES[2]), 300, counts, None)  # type: ignore[reportOptionalCall]
