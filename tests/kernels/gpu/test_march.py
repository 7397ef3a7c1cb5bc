"""The marcher's samples are those of the C loops, bit by bit, whatever the grid and the steps."""

from __future__ import annotations

import math

import pytest
import torch

from scenekit.kernels import OPS, native

from .emulator import COMPILER, emulated

pytestmark = pytest.mark.skipif(COMPILER is None or native.library() is None, reason="needs a C++ compiler")


@pytest.mark.parametrize(
    ("cascades", "grid", "rule", "most"),
    [
        (1, 7, [0.01, 0.01, 0.0], 1000),
        (1, 33, [0.02, 0.02, 0.0], 20),
        (3, 16, [0.01, 0.2, 0.01], 200),
        (2, 4, [0.05, 0.5, 0.1], 64),
    ],
)
def test_samples_are_those_of_the_cpu(
    cascades: int, grid: int, rule: list[float], most: int, monkeypatch: pytest.MonkeyPatch
):
    generator = torch.Generator().manual_seed(9)
    rays = 150
    origins = torch.randn(rays, 3, generator=generator)
    directions = torch.nn.functional.normalize(torch.randn(rays, 3, generator=generator), dim=-1)
    directions[:3] = torch.eye(3)  # along the axes: divisions by 0
    near, jitter = torch.rand(2, rays, generator=generator)
    far = torch.full((rays,), math.inf)
    far[::4] = near[::4]
    occupancy = torch.rand(cascades, grid, grid, grid, generator=generator) < 0.1
    arguments = origins, directions, near, far, occupancy, jitter, rule, most
    with emulated(monkeypatch):
        found = OPS["march"].cuda(*arguments)  # type: ignore[reportOptionalCall]
    for a, b in zip(found, OPS["march"](*arguments), strict=True):
        assert torch.equal(a, b)
    assert len(found[0]) > rays
