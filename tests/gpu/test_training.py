"""Training on a GPU: recorded steps are the steps they stand for, and what goes wrong is gone back on."""

from __future__ import annotations

import gc
from typing import Any

import pytest
import torch

from scenekit.core.checks import TrainingDiverged
from scenekit.data.synthetic import make
from scenekit.recipes import Fitting, Session, prepare
from scenekit.representations import REPRESENTATIONS
from scenekit.training.capture import Recorder
from scenekit.training.late import Late
from scenekit.training.steps import steps

NAMES = sorted(REPRESENTATIONS)


def _begun(name: str, count: int, **representation: Any) -> Session:
    kind = REPRESENTATIONS[name](**representation)
    return prepare(make(9, (64, 64), points=800), kind, Fitting(steps=count, device="cuda"))


def _recordings(session: Session) -> int:
    passes = session.training.passes
    assert isinstance(passes, Late)
    return sum(recording is not None for recording in passes._recorder._recordings.values())


@pytest.mark.parametrize("name", NAMES)
def test_every_representation_learns_and_its_steps_are_recorded(name: str, gpu: torch.device):
    session = _begun(name, 200)
    found = [step.psnr for step in steps(session.training)]
    assert len(found) == 200
    assert session.training.not_finite() is None
    assert sum(found[-20:]) / 20 > sum(found[:20]) / 20 + 2
    assert _recordings(session) > 0


@pytest.mark.parametrize("name", ["hash_grid", "gaussians", "triplane"])
def test_recorded_steps_find_what_steps_find(name: str, gpu: torch.device, monkeypatch: pytest.MonkeyPatch):
    recorded = [step.loss for step in steps(_begun(name, 30).training)]
    monkeypatch.setattr(Recorder, "step", lambda self, look, context: self._run(look, context))
    plain = [step.loss for step in steps(_begun(name, 30).training)]
    # Gradients are added up in the order in which threads arrive: runs part slowly.
    assert recorded[:8] == pytest.approx(plain[:8], rel=2e-2)
    assert sum(recorded[-5:]) == pytest.approx(sum(plain[-5:]), rel=0.15)


def test_recordings_share_the_memory_of_a_large_gradient(gpu: torch.device):
    session = _begun("hash_grid", 200, log2_table=19)
    assert sum(1 for _ in steps(session.training)) == 200
    passes = session.training.passes
    assert isinstance(passes, Late)
    recordings = [found for found in passes._recorder._recordings.values() if found is not None]
    large = [gradient for found in recordings for _, gradient in found.gradients if gradient.nbytes > 2**24]
    assert len(large) == len(recordings) > 2
    assert len({gradient.data_ptr() for gradient in large}) <= 2


def test_numbers_come_in_their_order_and_one_for_every_step(gpu: torch.device):
    session = _begun("hash_grid", 25)
    found = list(steps(session.training))
    assert [step.index for step in found] == list(range(25))
    assert all(step.work > 0 for step in found)


def test_a_gradient_that_is_no_number_is_gone_back_on(gpu: torch.device):
    session = _begun("hash_grid", 400)
    training = session.training
    with pytest.raises(TrainingDiverged, match=r"the state of step (64|128) is kept"):  # noqa: PT012
        for step in steps(training):
            if step.index == 150:
                field: Any = session.scene.renderer
                field.field.networks.density_weights[0].data.fill_(torch.inf)
    assert training.not_finite() is None
    assert training.index in (64, 128)
    assert len(list(steps(training))) > 200


def test_graphs_that_are_collected_meanwhile_break_no_recording(gpu: torch.device):
    before = gc.get_threshold()
    gc.set_threshold(50)
    try:
        for _ in range(3):  # the sessions before hold graphs, in cycles
            session = _begun("hash_grid", 40)
            assert len(list(steps(session.training))) == 40
            assert _recordings(session) > 0
    finally:
        gc.set_threshold(*before)


def test_training_goes_on_where_its_state_was_kept(gpu: torch.device):
    first = _begun("gaussians", 60)
    for step in steps(first.training):
        if step.index == 30:
            break
    state = first.training.state_dict()
    second = _begun("gaussians", 60)
    second.training.load_state_dict(state)
    assert second.training.index == first.training.index
    assert len(list(steps(second.training))) == 60 - first.training.index


def test_a_frame_of_what_was_learnt_is_the_same_on_both_sides(gpu: torch.device):
    session = _begun("hash_grid", 100)
    list(steps(session.training))
    scene, camera = session.scene, session.capture.cameras[session.capture.test[0]]
    there = scene.render(camera).color.cpu()
    here = scene.to("cpu").render(camera).color
    error = (there - here).square().mean()
    assert float(-10 * error.log10()) > 40
