"""Pixels of many pictures on a GPU, in both types that their values may have."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from scenekit.kernels import PixelsAt, pixels_at
from scenekit.kernels.gpu import pixels_at as launches
from scenekit.kernels.gpu.compile import Source


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float16])
@pytest.mark.parametrize("channels", [0, 3, 5])
def test_pixels_are_those_of_the_reference(
    dtype: torch.dtype, channels: int, gpu: torch.device, monkeypatch: pytest.MonkeyPatch
):
    g = torch.Generator().manual_seed(2)
    widths, heights = torch.tensor([5, 40, 1]), torch.tensor([7, 30, 1])
    starts = torch.cat([widths.new_zeros(1), (widths * heights).cumsum(0)])
    values = (255 * torch.rand(int(starts[-1]), channels, generator=g)).to(dtype)
    index = torch.randint(len(values), (999,), generator=g)
    wanted = pixels_at(index, starts, widths, values)
    launched: list[str] = []

    def launch(source: Source, name: str, *arguments: Any) -> None:
        launched.append(name)
        original(source, name, *arguments)

    original = launches.launch
    monkeypatch.setattr(launches, "launch", launch)
    found = PixelsAt(*(x.cpu() for x in pixels_at(*(x.to(gpu) for x in (index, starts, widths, values)))))
    assert launched == ["pixels_at"]  # not the reference on the GPU
    assert torch.equal(found.cameras, wanted.cameras)
    assert torch.equal(found.positions, wanted.positions)
    torch.testing.assert_close(found.colors, wanted.colors, rtol=1e-6, atol=0)
