"""Pixels compared in one pass against the same step by step, in every kind of photograph."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor

from scenekit.core.protocols import Rendering, over_background
from scenekit.kernels import pixel_loss
from scenekit.training.photographs import believable, believed, over

ROWS, DELTA = 700, 0.1
KINDS = list(itertools.product((3, 4), ("one", "each"), (False, True), (False, True)))


def _pixels(
    channels: int, behind: str, masked: bool, crowded: bool
) -> tuple[list[Tensor], Tensor, Tensor | None, Tensor | None]:
    generator = torch.Generator().manual_seed(1)

    def uniform(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=generator)

    seen = [uniform(ROWS, 3), uniform(ROWS), uniform(3) if behind == "one" else uniform(ROWS, 3)]
    valid, left_out = uniform(ROWS) < 0.7, uniform(ROWS) < 0.2
    return seen, uniform(ROWS, channels), valid if masked else None, left_out if crowded else None


@pytest.mark.parametrize(("channels", "behind", "masked", "crowded"), KINDS)
def test_it_is_what_the_same_is_step_by_step(channels: int, behind: str, masked: bool, crowded: bool):
    seen, photographed, valid, left_out = _pixels(channels, behind, masked, crowded)
    mine, theirs = ([x.clone().requires_grad_() for x in seen] for _ in range(2))
    found = pixel_loss(*mine, photographed, valid, left_out, delta=DELTA)
    found.huber.backward()

    color = over_background(Rendering(*theirs[:2]), theirs[2]).color
    judged = believable(valid, None if left_out is None else ~left_out)
    target = over(photographed, theirs[2].detach())
    target = believed(target, color, None if judged is None else judged[:, None])
    huber = 2 * torch.nn.functional.huber_loss(color, target, delta=DELTA)
    huber.backward()
    error = (color - target).detach().square()
    squared = error.mean() if judged is None else error[judged].mean()

    torch.testing.assert_close(found.huber, huber)
    torch.testing.assert_close(found.squared, squared)
    assert float(found.served) == pytest.approx(1.0 if left_out is None else 1 - float(left_out.float().mean()))
    for a, b in zip(mine, theirs, strict=True):
        torch.testing.assert_close(a.grad, b.grad)


def test_where_nothing_is_judged_nothing_is_lost():
    seen, photographed, *_ = _pixels(3, "one", False, False)
    colors = seen[0].requires_grad_()
    found = pixel_loss(colors, *seen[1:], photographed, torch.zeros(ROWS, dtype=torch.bool))
    found.huber.backward()
    assert float(found.huber.detach()) == float(found.squared) == 0
    assert colors.grad is not None
    assert not colors.grad.any()


@pytest.mark.parametrize("masked", ["valid", "left_out"])
def test_no_mask_hides_what_is_rendered_as_no_number(masked: str):
    seen, photographed, *_ = _pixels(3, "one", False, False)
    seen[0][5, 1] = torch.nan
    colors = seen[0].requires_grad_()
    masks = {"valid": torch.ones(ROWS, dtype=torch.bool), "left_out": torch.zeros(ROWS, dtype=torch.bool)}
    masks[masked][5] ^= True
    found = pixel_loss(colors, *seen[1:], photographed, **masks)
    found.huber.backward()
    assert colors.grad is not None
    assert all(bool(number.isnan()) for number in (found.huber.detach(), found.squared, colors.grad[5, 1]))
    assert bool(torch.isfinite(colors.grad[6:]).all())


@pytest.mark.parametrize("channels", [1, 5])
def test_other_photographs_are_refused(channels: int):
    with pytest.raises(ValueError, match="photographed: wanted 3 or 4 channels"):
        pixel_loss(torch.rand(4, 3), torch.rand(4), torch.rand(3), torch.rand(4, channels))
