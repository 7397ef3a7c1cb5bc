"""Rays of cameras and of a cube on an emulated GPU, where shapes and numbers are odd."""

from __future__ import annotations

import pytest
import torch
from renderers.test_degenerate import RAYS

from scenekit.kernels import OPS

from .emulator import COMPILER, emulated

pytestmark = pytest.mark.skipif(COMPILER is None, reason="needs a C++ compiler")


def test_rays_that_are_still_along_an_axis_meet_the_cube_where_they_do(monkeypatch: pytest.MonkeyPatch):
    origins, directions = (torch.tensor(x, dtype=torch.float32) for x in list(zip(*RAYS.values(), strict=True))[:2])
    for nearest in (0.0, 2.5):
        with emulated(monkeypatch):
            found = OPS["ray_cube"].cuda(origins, directions, 1, nearest)  # type: ignore[reportOptionalCall]
        for mine, theirs in zip(found, OPS["ray_cube"].reference(origins, directions, 1.0, nearest), strict=True):
            assert torch.equal(mine, theirs)


@pytest.mark.parametrize(("cascades", "grid"), [(1, 1), (1, 7), (1, 33), (3, 20)])
def test_cells_are_packed_as_on_a_cpu(cascades: int, grid: int, monkeypatch: pytest.MonkeyPatch):
    cells = torch.rand(cascades, grid, grid, grid, generator=torch.Generator().manual_seed(0)) < 0.05
    with emulated(monkeypatch):
        found = OPS["pack_cells"].cuda(cells)  # type: ignore[reportOptionalCall]
    assert torch.equal(found, OPS["pack_cells"].reference(cells))
