"""Steps that a GPU records read nothing back from it and mix no devices: their forward passes, without one."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from conformance.op_samples import SAMPLES
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from scenekit.core.protocols import Context
from scenekit.data.synthetic import make
from scenekit.kernels import OPS
from scenekit.recipes import Fitting, prepare
from scenekit.renderers.splats import SplatRenderer
from scenekit.renderers.tile_room import Frame
from scenekit.renderers.volume import VolumeRenderer
from scenekit.representations import REPRESENTATIONS
from scenekit.training.capture import rebuilt
from scenekit.training.photographs import Photographs
from scenekit.training.readings import numbers_of

from .fake_gpu import DEVICE, fake, fake_gpu, move, recording


def _begun(name: str, **fitting: Any) -> Photographs:
    session = prepare(
        make(9, (48, 48), points=500), REPRESENTATIONS[name](), Fitting(steps=10, device="cpu", **fitting)
    )
    objective = session.training.objective
    assert isinstance(objective, Photographs)
    renderer = objective.renderer
    if isinstance(renderer, VolumeRenderer):
        renderer.room = 2**14
    elif isinstance(renderer, SplatRenderer):
        renderer._room.note([Frame((48, 48), 5000, torch.tensor(5000))])
    return objective


@pytest.mark.parametrize("name", sorted(REPRESENTATIONS))
def test_a_step_of_every_representation_waits_for_no_number(name: str) -> None:
    objective = _begun(name)
    look = objective.next(Context(True, torch.Generator().manual_seed(0), 0.1))
    with fake_gpu(), torch.no_grad():
        for part in (objective.renderer, objective.background):
            if isinstance(part, nn.Module):
                move(part)
        objective.losses(rebuilt(look, fake), Context(True, None, 0.1))  # keeps what is copied once
        with recording():
            outcome = objective.losses(rebuilt(look, fake), Context(True, None, 0.1))
            assert numbers_of(outcome, torch.stack(list(outcome.terms.values())).sum()).device == DEVICE


@pytest.mark.parametrize("name", ["assign_fours_", "hash_grid", "mlp", "nearest", "radiance", "simplex_grid"])
def test_a_reference_that_may_serve_on_a_gpu_waits_for_no_number(name: str) -> None:
    """Where kernels have no room for the shapes, or torch asks for a fixed order of sums."""
    given = SAMPLES[name].make(torch.Generator().manual_seed(0), torch.float32, SAMPLES[name].check_rows)
    with fake_gpu():
        arguments = tree_map(lambda x: fake(x) if isinstance(x, Tensor) else x, given)
        OPS[name].reference(*arguments)  # keeps what is copied once
        with recording():
            OPS[name].reference(*arguments)
