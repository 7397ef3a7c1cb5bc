"""How many kernels a recorded step of a field launches: each costs a few microseconds, however little it does."""

from __future__ import annotations

import pytest
import torch
from kernels.gpu.rounding import half_allowed

from scenekit.core.protocols import Context
from scenekit.data import synthetic
from scenekit.renderers.volume import VolumeRenderer
from scenekit.training.batches import PixelBatches
from scenekit.training.capture import run
from scenekit.training.photographs import Photographs
from tests.conformance.small import small_session

from .launched import launched

DRAWN, RECORDED = 2, 29  # the look that a step begins with, forward and backward


@pytest.mark.parametrize("name", ["hash_grid", "simplex_grid"])
def test_a_step_of_a_field_is_few_launches(name: str, monkeypatch: pytest.MonkeyPatch):
    objective = small_session(name, synthetic.make(views=3, size=(48, 48)), 10).training.objective
    assert isinstance(objective, Photographs)
    assert isinstance(objective.renderer, VolumeRenderer)
    assert isinstance(objective.batches, PixelBatches)
    objective.renderer.room = 2**12
    objective.batches.by_sizes = True
    context = Context(True, torch.Generator().manual_seed(0), 0.1)
    with half_allowed():
        for _ in range(2):  # the first keeps constants
            for group in objective.parameter_groups():
                for parameter in group.parameters.values():
                    parameter.grad = None
            with launched(monkeypatch) as found:
                look = objective.next(context)
                drawn = len(found.names)
                run(objective, look, context)
    assert drawn <= DRAWN, found.names[:drawn]
    assert len(found.names) - drawn <= RECORDED, found.names[drawn:]
    assert {"pixels_at", "march", "radiance_backward", "pixel_loss_backward", "grid_backward"} <= {*found.names}
