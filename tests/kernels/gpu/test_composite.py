"""Compositing where rays are longer than a warp and end behind something opaque."""

from __future__ import annotations

import pytest
import torch

from scenekit.kernels import OPS

from .emulator import COMPILER, emulated

pytestmark = pytest.mark.skipif(COMPILER is None, reason="needs a C++ compiler")


@pytest.mark.parametrize("channels", [0, 3, 7])
def test_long_rays_stop_where_the_reference_stops(channels: int, monkeypatch: pytest.MonkeyPatch):
    generator = torch.Generator().manual_seed(5)
    counts = torch.tensor([0, 200, 1, 31, 32, 33, 64, 0, 150, 97])
    offsets = torch.nn.functional.pad(counts.cumsum(0), (1, 0))
    samples = int(offsets[-1])
    alphas = 0.3 * torch.rand(samples, generator=generator)
    alphas[5] = alphas[240] = 1.0  # opaque: nothing behind has a weight, nor does the light divide by 0
    colors, distances = torch.randn(samples, channels, generator=generator), torch.rand(samples, generator=generator)
    inputs = alphas, colors, distances, offsets
    seeds = [torch.randn(*shape, generator=generator) for shape in ((10, channels), (10,), (10,), (samples,))]
    with emulated(monkeypatch):
        found = [*OPS["composite"].cuda(*inputs), *OPS["composite_backward"].cuda(*seeds, *inputs)]  # type: ignore[reportOptionalCall]
    wanted = [*OPS["composite"].reference(*inputs), *OPS["composite_backward"].reference(*seeds, *inputs)]
    for a, b in zip(found, wanted, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)
    assert torch.equal(found[3] == 0, wanted[3] == 0)


def test_samples_without_any_ray_get_zeros(monkeypatch: pytest.MonkeyPatch):
    inputs = torch.rand(300), torch.rand(300, 3), torch.rand(300), torch.zeros(1, dtype=torch.int64)
    seeds = torch.rand(0, 3), torch.rand(0), torch.rand(0), torch.rand(300)
    with emulated(monkeypatch):
        *_, weights = OPS["composite"].cuda(*inputs)  # type: ignore[reportOptionalCall]
        gradients = OPS["composite_backward"].cuda(*seeds, *inputs)  # type: ignore[reportOptionalCall]
    assert all(torch.equal(x, torch.zeros_like(x)) for x in (weights, *gradients))


def test_gradients_that_nobody_has_count_as_zeros(monkeypatch: pytest.MonkeyPatch):
    offsets = torch.tensor([0, 40, 40, 90])
    inputs = torch.rand(90), torch.rand(90, 3), torch.rand(90), offsets
    colors, opacities, distances, weights = torch.rand(3, 3), torch.rand(3), torch.rand(3), torch.rand(90)
    for seeds in ((None, None), (distances, None), (None, weights)):
        zeros = [torch.zeros_like(x) if s is None else s for s, x in zip(seeds, (distances, weights), strict=True)]
        with emulated(monkeypatch):
            found = OPS["composite_backward"].cuda(colors, opacities, *seeds, *inputs)  # type: ignore[reportOptionalCall]
        for body in (OPS["composite_backward"].cpu, OPS["composite_backward"].reference):
            assert body is not None
            wanted = body(colors, opacities, *zeros, *inputs)
            for mine, given, filled in zip(found, body(colors, opacities, *seeds, *inputs), wanted, strict=True):
                assert torch.equal(given, filled)
                torch.testing.assert_close(mine, filled, rtol=1e-4, atol=1e-5)
