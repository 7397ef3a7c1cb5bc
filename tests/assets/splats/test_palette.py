"""Vectors find their nearest centres a bounded number of products at a time."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from scenekit.assets.splats import palette
from scenekit.assets.splats.palette import nearest


class Largest(TorchDispatchMode):
    """The most numbers that one result held."""

    numbers = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for each in result if isinstance(result, list | tuple) else [result]:
            if isinstance(each, Tensor):
                self.numbers = max(self.numbers, each.numel())
        return result


@pytest.mark.parametrize(("vectors", "centres"), [(1000, 1), (1000, 50), (40, 1000)])
def test_many_centres_take_no_more_memory_than_few(vectors: int, centres: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(palette, "PRODUCTS", 2000)
    generator = torch.Generator().manual_seed(0)
    points, others = torch.rand(vectors, 2, generator=generator), torch.rand(centres, 2, generator=generator)
    with Largest() as largest:
        found = nearest(points, others)
    assert largest.numbers <= max(2000, 2 * vectors, 2 * centres)
    assert torch.equal(found, torch.cdist(points.double(), others.double()).argmin(-1))
