"""What a step over whole photographs holds, tensor by tensor, against what the memory plan counts for a pixel."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from scenekit import Gaussians
from scenekit.data import Capture, synthetic
from scenekit.recipes import Fitting, prepare
from scenekit.recipes.corrections import Supervision
from scenekit.recipes.memory import ADDED_FLOATS, COMPARED_FLOATS
from scenekit.renderers.background import SphereBackground
from scenekit.training.corrections import BilateralGrids, DepthPrior, Exposures, NormalPrior
from scenekit.training.steps import steps

FEW, SMALL, LARGE = 200, 48, 96  # splats, which are to weigh little, and pixels of a side
KINDS: dict[str, tuple[type | None, Supervision, str]] = {
    "nothing": (None, Supervision(), "auto"),
    "exposures": (Exposures, Supervision(appearance="exposure"), "auto"),
    "tones": (BilateralGrids, Supervision(appearance="bilateral"), "auto"),
    "depth": (DepthPrior, Supervision(depth_weight=0.1), "auto"),
    "normals": (NormalPrior, Supervision(normal_weight=0.1), "auto"),
    "a sky": (SphereBackground, Supervision(), "sphere"),
}


class Held(TorchDispatchMode):
    """The most bytes at once in tensors that operators made and nobody has let go."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.most = 0
        self._known: set[int] = set()

    def __torch_dispatch__(
        self, operator: Callable[..., Any], types: Any, arguments: tuple[Any, ...] = (), named: Any = None
    ) -> Any:
        made = operator(*arguments, **(named or {}))
        for tensor in tree_leaves(made):
            if isinstance(tensor, Tensor):
                self._add(tensor.untyped_storage())
        self.most = max(self.most, self.now)
        return made

    def _add(self, storage: torch.UntypedStorage) -> None:
        key, size = storage._cdata, storage.nbytes()
        if key not in self._known:
            self._known.add(key)
            self.now += size
            weakref.finalize(storage, self._gone, key, size)

    def _gone(self, key: int, size: int) -> None:
        self._known.discard(key)
        self.now -= size


def measured(capture: Capture) -> Capture:
    """With depth and normals of every pixel."""
    sizes = [image.shape[:2] for image in capture.images]
    normals = tuple(torch.nn.functional.normalize(torch.ones(*size, 3), dim=-1) for size in sizes)
    return replace(capture, depths=tuple(torch.full(size, 3.0) for size in sizes), normals=normals)


def most_held(side: int, supervision: Supervision, background: str) -> int:
    """Bytes of the third step."""
    few = Gaussians(max_count=FEW, random_count=FEW, densification="none")
    fitting = Fitting(steps=1000, background=background)
    session = prepare(measured(synthetic.make(2, (side, side))), few, fitting, supervision=supervision)
    training = steps(session.training)
    for _ in range(2):
        next(training)
    with Held() as held:
        next(training)
    return held.most


@pytest.mark.parametrize("kind", KINDS)
def test_the_plan_counts_the_floats_that_a_pixel_has_in_a_step(kind: str) -> None:
    part, supervision, background = KINDS[kind]
    small, large = (most_held(side, supervision, background) for side in (SMALL, LARGE))
    floats = (large - small) / 4 / (LARGE**2 - SMALL**2)
    planned = COMPARED_FLOATS + (0 if part is None else ADDED_FLOATS[part])
    assert 0.9 * planned < floats < 1.05 * planned
