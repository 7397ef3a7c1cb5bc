"""The multilayer perceptron over widths and depths that presets use, and some that nobody does."""

from __future__ import annotations

import itertools

import pytest
import torch

from scenekit.kernels import OPS

from .emulator import COMPILER, emulated
from .rounding import by_feature

pytestmark = pytest.mark.skipif(COMPILER is None, reason="needs a C++ compiler")


@pytest.mark.parametrize(
    ("widths", "rows", "to_inputs"),
    [
        ([32, 64, 16], 130, True),
        ([31, 64, 64, 3], 65, True),
        ([16, 16], 64, False),
        ([128, 128, 128, 128, 128, 128], 3, True),
        ([1, 2, 1], 63, True),
    ],
)
@pytest.mark.parametrize("architecture", ["sm_75", "sm_90"])
def test_every_shape_matches_the_reference(
    widths: list[int], rows: int, to_inputs: bool, architecture: str, monkeypatch: pytest.MonkeyPatch
):
    generator = torch.Generator().manual_seed(4)
    weights = torch.cat(
        [torch.randn(a * b, generator=generator) * (2 / a) ** 0.5 for a, b in itertools.pairwise(widths)]
    )
    inputs = torch.randn(rows, widths[0], generator=generator)
    gradient = torch.randn(rows, widths[-1], generator=generator)
    # Few blocks, so that each takes several tiles.
    monkeypatch.setattr("scenekit.kernels.gpu.mlp.MOST_BLOCKS", 2)
    with emulated(monkeypatch, architecture):
        found = [OPS["mlp"].cuda(inputs, weights, widths)]  # type: ignore[reportOptionalCall]
        found += OPS["mlp_backward"].cuda(gradient, inputs, weights, widths, to_inputs)  # type: ignore[reportOptionalCall]
        again = OPS["mlp_backward"].cuda(gradient, inputs, weights, widths, to_inputs)  # type: ignore[reportOptionalCall]
        features = by_feature(inputs)
        other = [OPS["mlp"].cuda(features, weights, widths)]  # type: ignore[reportOptionalCall]
        other += OPS["mlp_backward"].cuda(gradient, features, weights, widths, to_inputs)  # type: ignore[reportOptionalCall]
    exact = gradient.double(), inputs.double(), weights.double()
    wanted = [OPS["mlp"].reference(*exact[1:], widths)]
    wanted += OPS["mlp_backward"].reference(*exact, widths, to_inputs)
    for a, b in zip(found, wanted, strict=True):
        torch.testing.assert_close(a.double(), b, rtol=1e-5, atol=2e-5 * float(b.abs().max()) if b.numel() else 0)
    assert all(torch.equal(a, b) for a, b in zip(found[1:], again, strict=True))
    assert all(torch.equal(a, b) for a, b in zip(found, other, strict=True))
    assert not to_inputs or other[1].stride() == features.stride()
