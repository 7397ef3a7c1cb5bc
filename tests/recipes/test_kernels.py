"""A step of training through our kernels, emulated on a CPU, launches nothing that was not foreseen."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from kernels.gpu.emulator import COMPILER, MOST_SHARED, emulated
from kernels.gpu.rounding import half_allowed
from torch import nn

from scenekit.data import synthetic
from scenekit.kernels import OPS
from scenekit.kernels import op as registration
from scenekit.kernels.gpu import launch
from scenekit.kernels.gpu.compile import Source
from scenekit.recipes import SignalFitting, prepare_fit
from scenekit.recipes.configs import from_plain
from scenekit.recipes.fit import ENCODERS, ValueNetwork
from scenekit.recipes.kernels import foreseen
from scenekit.representations import REPRESENTATIONS
from scenekit.training.steps import Training, steps
from tests.conformance.small import small_session
from tests.conformance.test_signals import SMALL as ENCODED
from tests.conformance.test_signals import small_signal

FEW = {"volume": {"batch_samples": 256, "occupancy_cells": 64, "marching": {"steps": 32, "grid": 8}}}

pytestmark = [
    pytest.mark.long,  # what is emulated is C++, which has no shapes to check
    pytest.mark.skipif(COMPILER is None, reason="needs a C++ compiler"),
    pytest.mark.filterwarnings("ignore:Warning only once for all operators"),  # another body is what is wanted
]


@pytest.fixture
def cpu_as_gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Tensors of the CPU reach the bodies for GPUs."""
    bodies = torch.library.Library("scenekit", "IMPL")
    for op in OPS.values():
        if op.cuda is not None:
            choose = registration._where_served(op.name, op.cuda, op.reference, op.cuda_dtypes)
            bodies.impl(op.name, choose, "CPU", allow_override=True)
    monkeypatch.setattr(launch, "available", lambda: True)
    yield
    bodies._destroy()


@pytest.mark.parametrize("name", sorted(REPRESENTATIONS))
def test_what_a_step_launches_was_foreseen(name: str, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest):
    launched, seen = _step(name, monkeypatch, request)
    assert launched
    assert launched <= seen


def test_what_a_step_in_half_precision_launches_was_foreseen(
    monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
):
    with half_allowed():
        launched, seen = _step("hash_grid", monkeypatch, request)
    assert any(source.file == "radiance_backward" for source in launched)
    assert launched <= seen


@pytest.mark.parametrize("name", sorted(ENCODERS))
def test_what_a_step_of_points_launches_was_foreseen(
    name: str, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
):
    config = from_plain(ENCODERS[name], ENCODED.get(name, {}), name)
    fitting = SignalFitting(steps=2, batch_points=64, network=ValueNetwork(width=16))
    session = prepare_fit(small_signal("panorama"), config, fitting)
    with half_allowed():
        launched, seen = _launched(session.training, session.scene.renderer, monkeypatch, request)
    assert launched
    assert launched <= seen


def _step(
    name: str, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> tuple[set[Source], set[Source]]:
    session = small_session(name, synthetic.make(views=3, size=(16, 16)), 2, FEW)
    return _launched(session.training, session.scene.renderer, monkeypatch, request)


def _launched(
    training: Training, renderer: nn.Module, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> tuple[set[Source], set[Source]]:
    """What two steps launch, and what was foreseen."""
    request.getfixturevalue("cpu_as_gpu")
    launched: set[Source] = set()
    with emulated(monkeypatch) as gpu:
        run = gpu.run
        monkeypatch.setattr(gpu, "run", lambda source, *rest: (launched.add(source), run(source, *rest)))
        for step in steps(training):
            assert torch.isfinite(torch.tensor(step.loss))
    memory = 1024 * (MOST_SHARED["sm_90"] + 1)
    return launched, set(foreseen(renderer, memory))
