"""Structural similarity over several strips, the last ones cut off."""

from __future__ import annotations

import pytest
import torch

from scenekit.kernels import OPS

from .emulator import COMPILER, emulated

pytestmark = pytest.mark.skipif(COMPILER is None, reason="needs a C++ compiler")


def _near(found: torch.Tensor, wanted: torch.Tensor) -> None:
    torch.testing.assert_close(found.double(), wanted, rtol=1e-4, atol=1e-4 * float(wanted.abs().max()))


@pytest.mark.parametrize("shape", [(50, 70, 2), (80, 31, 1), (35, 20, 4), (34, 43, 3), (1, 1, 3), (12, 9, 6)])
def test_strips_join(shape: tuple[int, int, int], monkeypatch: pytest.MonkeyPatch):
    image, target, gradient = torch.rand(3, *shape, generator=torch.Generator().manual_seed(2))
    with emulated(monkeypatch):
        found = OPS["ssim"].cuda(image, target), OPS["ssim_backward"].cuda(gradient, image, target)  # type: ignore[reportOptionalCall]
    exact = [x.double() for x in (gradient, image, target)]
    wanted = OPS["ssim"].reference(*exact[1:]), OPS["ssim_backward"].reference(*exact)
    for a, b in zip(found, wanted, strict=True):
        _near(a, b)


@pytest.mark.parametrize("shape", [(3, 50, 70, 2), (1, 80, 50, 3), (2, 1, 1, 1), (1, 35, 9, 4)])
def test_the_loss_of_several_images_and_its_gradient(shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch):
    images, targets = torch.rand(2, *shape, generator=torch.Generator().manual_seed(2))
    seeds = torch.tensor(0.7), torch.tensor(-1.3)
    op, back = OPS["l1_dssim"], OPS["l1_dssim_backward"]
    exact = op.reference(images.double(), targets.double(), 0.3, True)
    wanted = back.reference(*(x.double() for x in (*seeds, images, targets)), exact[2], 0.3)
    assert op.cuda is not None
    assert back.cuda is not None
    with emulated(monkeypatch):
        *found, maps = op.cuda(images, targets, 0.3, True)
        gradient = back.cuda(*seeds, images, targets, maps, 0.3)
        plain = op.cuda(images, targets, 0.3, False)
    for a, b in zip(found, exact, strict=False):
        _near(a, b)
    assert torch.equal(plain[0], found[0])
    assert torch.equal(plain[1], found[1])
    assert plain[2].numel() == 0
    _near(gradient, wanted)
