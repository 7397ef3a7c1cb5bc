"""Grids on a GPU whose rows are wide, as colours of dense grids and factors of low ranks are."""

from __future__ import annotations

import pytest
import torch

from scenekit.kernels import OPS, GridLayout, simplex_layout

KINDS = {"hash_grid": GridLayout.of, "simplex_grid": simplex_layout}


@pytest.mark.parametrize(("dimensions", "features"), [(2, 16), (3, 27), (3, 48), (2, 48), (3, 64)])
@pytest.mark.parametrize("kind", KINDS)
def test_wide_rows_match_the_reference(kind: str, dimensions: int, features: int, gpu: torch.device):
    generator = torch.Generator().manual_seed(3)
    layout = KINDS[kind](dimensions, levels=2, log2_table=12, base_resolution=12, growth=1.7)
    shape = (layout.scales, layout.resolutions, layout.offsets)
    along = torch.linspace(0, 0.9, 3000)[:, None] * torch.rand(1, dimensions, generator=generator)
    positions = torch.cat([along, torch.rand(2000, dimensions, generator=generator)])
    table = torch.randn(layout.rows, features, generator=generator)
    gradient = torch.randn(len(positions), 2 * features, generator=generator)
    on_gpu = [x.to(gpu) for x in (gradient, positions, table)]
    found = [OPS[kind](*on_gpu[1:], *shape), *OPS[f"{kind}_backward"](*on_gpu, *shape, [True, True])]
    exact = [x.double() for x in (gradient, positions, table)]
    wanted = [OPS[kind].reference(*exact[1:], *shape), *OPS[f"{kind}_backward"].reference(*exact, *shape, [True, True])]
    for of, a, b in zip(("features", "positions", "table"), found, wanted, strict=True):
        error = (a.cpu().double() - b).abs().amax(1)
        # A point on the border of two cells has two slopes: which one hangs on rounding.
        largest = error.quantile(0.999) if of == "positions" else error.max()
        assert largest <= 1e-5 * b.abs().max(), of
