"""Fits of signals on a GPU: they learn, their steps are recorded, they are judged and shown there."""

from __future__ import annotations

import pytest
import torch

from scenekit.data.signals import Points
from scenekit.data.signals.distances import Frame, SampledSurface
from scenekit.recipes import FitSession, SignalFitting, device, prepare_fit
from scenekit.recipes.configs import from_plain
from scenekit.recipes.fit import ENCODERS, judge, point_field_of
from scenekit.renderers.flat import Pictured
from scenekit.training.late import Late
from scenekit.training.steps import steps
from tests.conformance.test_signals import REACHED, SMALL, small_signal
from tests.training.test_recorded_points import SIGNALS


def _begun(kind: str, name: str, count: int) -> FitSession:
    # Distances stand for the mesh: what computes them may not be there.
    signal = _ball() if kind == "surface" else small_signal(kind)
    config = from_plain(ENCODERS[name], SMALL.get(name, {}), name)
    return prepare_fit(signal, config, SignalFitting(steps=count, batch_points=2048, device="cuda"))


def _ball() -> SampledSurface:
    generator = torch.Generator().manual_seed(0)
    positions = torch.rand(2**16, 3, generator=generator)
    on = torch.nn.functional.normalize(positions[: 2**15] - 0.5, dim=-1) * 0.45 + 0.5
    around = torch.cat([on, positions[2**15 :]])
    values = (around - 0.5).norm(dim=-1, keepdim=True) - 0.45
    values[: 2**15] = 0
    pool = Points(around, values)
    judged = Points(positions, (positions - 0.5).norm(dim=-1, keepdim=True) - 0.45)
    return SampledSurface("ball.npz", Frame(2.0, (0.0, 0.0, 0.0)), pool, judged)


@pytest.mark.parametrize("kind", sorted(SIGNALS))
def test_every_kind_of_signal_is_learnt_judged_and_shown(kind: str, gpu: torch.device):
    session = _begun(kind, "hash_grid", 150)
    found = [step.loss for step in steps(session.training)]
    assert len(found) == 150
    assert found[-1] < found[0] / 3
    assert session.signal.device.type == "cpu"
    scene = session.scene
    assert scene.device == gpu
    name, least = REACHED[kind]
    assert judge(scene, session.signal)[name] > least
    picture = scene.render(scene.cameras[0].resized([(24, 16)])).color
    assert picture.device == gpu
    assert picture.isfinite().all()
    if isinstance(scene.renderer, Pictured):
        assert all(band.isfinite().all() for band in scene.renderer.bands((31, 17)))
    elsewhere = judge(scene.to("cpu"), session.signal)
    assert elsewhere[name] == pytest.approx(judge(scene.to(gpu), session.signal)[name], abs=0.02)


@pytest.mark.parametrize("name", sorted(ENCODERS))
def test_steps_of_every_encoder_are_recorded(name: str, gpu: torch.device):
    session = _begun("panorama", name, 120)
    passes = session.training.passes
    assert isinstance(passes, Late)
    found = [step.loss for step in steps(session.training)]
    assert found[-1] < found[0] / 2
    assert all(recording is not None for recording in passes._recorder._recordings.values())


def test_adaptive_functions_are_put_where_detail_is(gpu: torch.device):
    session = prepare_fit(
        small_signal("image"),
        from_plain(ENCODERS["rbf"], {"kind": "adaptive", "centers": 64, "log2_table": 10}, "rbf"),
        SignalFitting(steps=60, batch_points=2048, device="cuda"),
    )
    encoding = point_field_of(session.scene).encoding
    before = encoding.get_buffer("centers").clone()
    assert before.isfinite().all()
    found = [step.loss for step in steps(session.training)]
    assert found[-1] < found[0]


def test_what_does_not_fit_is_drawn_in_main_memory(gpu: torch.device, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(device, "LEARNT_SHARE", 0.0)
    session = _begun("image", "hash_grid", 100)
    found = [step.loss for step in steps(session.training)]
    assert found[-1] < found[0] / 3
    assert judge(session.scene, session.signal)["psnr"] > 15
