"""Pixels compared on an emulated GPU, in every kind of photograph, at errors as large as where the loss bends."""

from __future__ import annotations

import itertools

import pytest
import torch

from scenekit.kernels import OPS

from .emulator import COMPILER, emulated

pytestmark = pytest.mark.skipif(COMPILER is None, reason="needs a C++ compiler")

DELTA = 0.125


@pytest.mark.parametrize(
    ("channels", "one", "masked", "crowded"), list(itertools.product((3, 4), *[(False, True)] * 3))
)
def test_every_kind_of_photograph_is_compared_as_the_reference_does(
    channels: int, one: bool, masked: bool, crowded: bool, monkeypatch: pytest.MonkeyPatch
):
    generator, rows = torch.Generator().manual_seed(2), 600
    colors, opacities, photographed = (torch.rand(rows, *n, generator=generator) for n in ((3,), (), (channels,)))
    behind = torch.rand(*(() if one else (rows,)), 3, generator=generator)
    masks = [torch.rand(rows, generator=generator) < share if there else None for share, there in
             ((0.7, masked), (0.2, crowded))]  # fmt: skip
    pixels = colors, opacities, behind, photographed, *masks, DELTA
    for wanted in (False, True):
        backward = torch.tensor(1.5), *pixels, wanted
        with emulated(monkeypatch):
            found = [*OPS["pixel_loss"].cuda(*pixels), *OPS["pixel_loss_backward"].cuda(*backward)]  # type: ignore[reportOptionalCall]
        theirs = [*OPS["pixel_loss"].reference(*pixels), *OPS["pixel_loss_backward"].reference(*backward)]
        for a, b in zip(found, theirs, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("hidden", [False, True])
@pytest.mark.parametrize("worst", [0.0, torch.inf, torch.nan])
def test_the_loss_bends_where_the_reference_does_and_no_mask_hides_what_is_no_number(
    worst: float, hidden: bool, monkeypatch: pytest.MonkeyPatch
):
    errors = torch.tensor([0, DELTA, -DELTA, 2 * DELTA, -2 * DELTA, worst])
    colors, opacities, behind = 0.5 + errors[:, None].expand(6, 3), torch.ones(6), torch.zeros(3)
    judged = torch.tensor([True] * 5 + [not hidden])
    pixels = colors.contiguous(), opacities, behind, torch.full((6, 3), 0.5), judged, None, DELTA
    with emulated(monkeypatch):
        found = [*OPS["pixel_loss"].cuda(*pixels), *OPS["pixel_loss_backward"].cuda(torch.tensor(1.0), *pixels, False)]  # type: ignore[reportOptionalCall]
    wanted = [*OPS["pixel_loss"].reference(*pixels)]
    wanted += OPS["pixel_loss_backward"].reference(torch.tensor(1.0), *pixels, False)
    assert bool(torch.isfinite(found[0])) == (worst == 0)
    for a, b in zip(found, wanted, strict=True):
        torch.testing.assert_close(a, b, equal_nan=True)
