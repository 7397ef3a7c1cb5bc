"""Tracing over more rays than a block follows, through both kinds of cells."""

from __future__ import annotations

import pytest
import torch
from conformance.op_samples import SAMPLES
from conformance.test_ops import _assert_near

from scenekit.kernels import OPS, simplex_layout

from .emulator import COMPILER, emulated

pytestmark = pytest.mark.skipif(COMPILER is None, reason="needs a C++ compiler")


@pytest.mark.parametrize("simplices", [False, True])
@pytest.mark.parametrize("shaded", [True, False])
def test_rays_take_the_places_of_those_that_are_done(simplices: bool, shaded: bool, monkeypatch: pytest.MonkeyPatch):
    arguments = list(SAMPLES["trace_hash_grid"].make(torch.Generator().manual_seed(8), torch.float32, 300))
    if simplices:
        layout = simplex_layout(3, levels=3, log2_table=9, base_resolution=4, growth=1.7)
        table = torch.randn(layout.rows, 2, generator=torch.Generator().manual_seed(1))
        arguments[8:13] = [table, layout.scales, layout.resolutions, layout.offsets, True]
    arguments[-1] = shaded
    monkeypatch.setattr("scenekit.kernels.gpu.trace_hash_grid.MOST_BLOCKS", 2)
    with emulated(monkeypatch):
        found = OPS["trace_hash_grid"].cuda(*arguments)  # type: ignore[reportOptionalCall]
    _assert_near(list(found), list(OPS["trace_hash_grid"].reference(*arguments)), 2e-4, "output")
    assert int(found[3].max()) > 5
