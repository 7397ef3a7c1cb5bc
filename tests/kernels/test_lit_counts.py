from __future__ import annotations

import math

import pytest
import torch

from scenekit.kernels.lit_counts import OPAQUE, lit_counts


def test_samples_are_lit_until_what_is_before_them_is_opaque():
    generator = torch.Generator().manual_seed(0)
    lengths = torch.tensor([0, 40, 1, 300, 0, 33])
    thickness = 0.5 * torch.rand(int(lengths.sum()), generator=generator)
    offsets = torch.nn.functional.pad(lengths.cumsum(0), (1, 0))
    counts = lit_counts(torch.cat([thickness, torch.full((7,), math.nan)]), offsets)
    for own, count in zip(thickness.split(lengths.tolist()), counts.tolist(), strict=True):
        before = torch.cat([own.new_zeros(1), own.cumsum(0)])[:-1]
        assert count == (before < OPAQUE).sum()
    assert (counts[1], counts[2], counts[5]) == (40, 1, 33)
    assert 30 < counts[3] < 60


def test_what_is_too_thick_or_no_number_hides_what_is_behind_it_and_nothing_else():
    thickness = torch.tensor([0.1, math.inf, 0.1, 0.1, math.nan, 0.1, 0.1, 1e30, 0.0])
    assert lit_counts(thickness, torch.tensor([0, 3, 6, 9])).tolist() == [2, 2, 2]


@pytest.mark.bad_input
def test_wrong_types_are_refused_by_name():
    with pytest.raises(ValueError, match="offsets: wanted int64"):
        lit_counts(torch.rand(3), torch.tensor([0, 3], dtype=torch.int32))
    with pytest.raises(ValueError, match="thickness: wanted a floating"):
        lit_counts(torch.ones(3, dtype=torch.int64), torch.tensor([0, 3]))
