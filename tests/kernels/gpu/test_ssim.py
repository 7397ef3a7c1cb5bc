"""Structural similarity over several tiles, the last ones cut off."""

from __future__ import annotations

import pytest
import torch

from scenekit.kernels import OPS

from .emulator import COMPILER, emulated

pytestmark = pytest.mark.skipif(COMPILER is None, reason="needs a C++ compiler")


def test_tiles_join(monkeypatch: pytest.MonkeyPatch):
    generator = torch.Generator().manual_seed(2)
    image, target, gradient = torch.rand(3, 21, 70, 2, generator=generator)
    with emulated(monkeypatch):
        found = OPS["ssim"].cuda(image, target), OPS["ssim_backward"].cuda(gradient, image, target)  # type: ignore[reportOptionalCall]
    exact = [x.double() for x in (gradient, image, target)]
    wanted = OPS["ssim"].reference(*exact[1:]), OPS["ssim_backward"].reference(*exact)
    for a, b in zip(found, wanted, strict=True):
        torch.testing.assert_close(a.double(), b, rtol=1e-4, atol=1e-4 * float(b.abs().max()))
