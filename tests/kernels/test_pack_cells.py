from __future__ import annotations

import pytest
import torch

from scenekit.core.rays import Cells
from scenekit.kernels import OPS, StepRule, march, pack_cells


def _cells(cascades: int, grid: int, share: float = 0.05) -> torch.Tensor:
    return torch.rand(cascades, grid, grid, grid, generator=torch.Generator().manual_seed(grid)) < share


@pytest.mark.parametrize(("cascades", "grid"), [(1, 1), (1, 7), (1, 33), (2, 4), (3, 20), (2, 64)])
def test_every_cell_has_its_bit_and_every_word_with_one_has_its_own(cascades: int, grid: int):
    cells = _cells(cascades, grid)
    words = pack_cells(cells)
    assert torch.equal(words, OPS["pack_cells"].reference(cells))
    blocks, boxes = -(-grid // 4), -(-grid // 16)
    fine, coarse = words.split([cascades * blocks**3, cascades * boxes**3])
    fine, coarse = fine.view(cascades, *[blocks] * 3), coarse.view(cascades, *[boxes] * 3)
    k, x, y, z = cells.nonzero().unbind(-1)
    assert (fine[k, x // 4, y // 4, z // 4] >> (x % 4 * 16 + y % 4 * 4 + z % 4) & 1).all()
    assert _bits(fine) == int(cells.sum())
    k, x, y, z = fine.nonzero().unbind(-1)
    assert (coarse[k, x // 4, y // 4, z // 4] >> (x % 4 * 16 + y % 4 * 4 + z % 4) & 1).all()
    assert _bits(coarse) == len(k)


def _bits(words: torch.Tensor) -> int:
    return int((words[..., None] >> torch.arange(64) & 1).sum())


def test_rays_are_marched_through_the_bits_that_were_kept():
    cells, rays = torch.ones(1, 8, 8, 8, dtype=torch.bool), 5
    along = torch.zeros(rays, 3), torch.eye(3)[:1].expand(rays, 3), torch.zeros(rays), torch.ones(rays)
    jitter, rule = torch.full((rays,), 0.5), StepRule(0.1, 0.1)
    assert len(march(*along, Cells(cells, pack_cells(cells)), jitter, rule, 100).distances)
    assert not len(march(*along, Cells(cells, pack_cells(~cells)), jitter, rule, 100).distances)


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("cells", "message"),
    [
        (torch.ones(1, 8, 8, 8), "wanted bool cells"),
        (torch.ones(8, 8, 8, dtype=torch.bool), "wanted bool cells"),
        (torch.ones(1, 8, 4, 8, dtype=torch.bool), "wanted bool cells"),
        (torch.ones(2, 6, 6, 6, dtype=torch.bool), "a multiple of 4 cells a side, found 6"),
        (Cells(torch.ones(1, 4, 4, 4, dtype=torch.bool), torch.zeros(3, dtype=torch.int64)), r"bits as int64 \[2\]"),
    ],
)
def test_cells_that_are_none_are_refused(cells: torch.Tensor | Cells, message: str):
    ones = torch.ones(2)
    with pytest.raises(ValueError, match=message):
        march(torch.zeros(2, 3), torch.eye(3)[:2], ones, ones, cells, ones, StepRule(0.1, 0.1), 9)
