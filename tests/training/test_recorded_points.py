"""Signals on a GPU, without one: points are drawn there, steps copy nothing to it and read nothing back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from scenekit.core.cameras import Cameras
from scenekit.core.protocols import EVAL, Context
from scenekit.data.signals import Points, Signal, panorama
from scenekit.data.signals.distances import Frame, SampledSurface
from scenekit.data.signals.image import ImageSignal
from scenekit.data.signals.panorama import PanoramaSignal
from scenekit.data.signals.pixels import Picture
from scenekit.data.signals.volume import VolumeSignal
from scenekit.recipes import SignalFitting, prepare_fit
from scenekit.recipes.fit import ENCODERS, point_field_of
from scenekit.recipes.signals import KINDS
from scenekit.renderers.flat import FlatRenderer, PanoramaRenderer
from scenekit.renderers.sphere_tracing import SphereTracer
from scenekit.representations import HashGrid
from scenekit.training.capture import rebuilt
from scenekit.training.points import PointSamples
from scenekit.training.readings import numbers_of

from .fake_gpu import DEVICE, ReadError, fake, fake_gpu, move, recording


def _pool(count: int) -> Points:
    generator = torch.Generator().manual_seed(0)
    return Points(torch.rand(count, 3, generator=generator), torch.randn(count, 1, generator=generator))


SIGNALS: dict[str, Callable[[Callable[[Tensor], Tensor]], Signal]] = {
    "image": lambda place: ImageSignal("a.png", Picture(place(torch.zeros(24, 32, 3, dtype=torch.uint8)), False)),
    "panorama": lambda place: PanoramaSignal("a.hdr", Picture(place(torch.zeros(16, 32, 3)), True)),
    "surface": lambda place: SampledSurface(
        "a.npz", Frame(1.0, (0, 0, 0)), rebuilt(_pool(99), place), rebuilt(_pool(9), place)
    ),
    "volume": lambda place: VolumeSignal("a.npy", place(torch.zeros(4, 5, 6, 4)), 1.0),
}


def _objective(kind: str, name: str) -> PointSamples:
    session = prepare_fit(SIGNALS[kind](torch.clone), ENCODERS[name](), SignalFitting(steps=9, device="cpu"))
    objective = session.training.objective
    assert isinstance(objective, PointSamples)
    return objective


def test_every_kind_is_tried() -> None:
    assert set(SIGNALS) == set(KINDS)


@pytest.mark.parametrize("kind", sorted(SIGNALS))
def test_points_are_drawn_where_the_signal_is(kind: str) -> None:
    with fake_gpu():
        signal = SIGNALS[kind](fake)
        assert signal.device == DEVICE
        assert signal.nbytes > 0
        signal.sample(7, None)  # keeps what is copied once
        with recording():
            for tensor in (*signal.sample(7, None), *signal.detail(5, None)):
                assert tensor.device == DEVICE


@pytest.mark.parametrize(
    ("kind", "name"),
    [*((kind, "hash_grid") for kind in sorted(SIGNALS)), *(("panorama", name) for name in sorted(ENCODERS))],
)
def test_a_step_of_points_copies_and_waits_for_nothing(kind: str, name: str) -> None:
    objective = _objective(kind, name)
    look = objective.next(Context(True, torch.Generator().manual_seed(0), 0.1))
    with fake_gpu(), torch.no_grad():
        move(objective.learner)
        there = rebuilt(look, fake)
        objective.losses(there, Context(True, None, 0.1))  # keeps what is copied once
        with recording():
            outcome = objective.losses(there, Context(True, None, 0.1))
            assert numbers_of(outcome, outcome.loss()).device == DEVICE


@pytest.mark.parametrize("kind", sorted(SIGNALS))
@pytest.mark.parametrize("resident", [True, False])
def test_a_fit_is_judged_and_probed_where_it_is(kind: str, resident: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(panorama, "constant", panorama.constant.__wrapped__)  # those of a CPU are not fake
    objective = _objective(kind, "hash_grid")
    with fake_gpu(), torch.no_grad():
        move(objective.learner)
        objective.signal = SIGNALS[kind](fake if resident else torch.zeros_like)
        # All is computed, up to the number that comes back.
        with pytest.raises(ReadError):
            KINDS[kind].judge(objective.field, objective.signal)
        if resident and not torch.cuda.is_available():
            return  # seeds of a GPU's generator need one
        with pytest.raises(ReadError):
            objective.probe(EVAL)


def test_points_of_a_signal_in_main_memory_are_brought_to_the_field() -> None:
    objective = _objective("image", "hash_grid")
    objective.own = torch.Generator().manual_seed(3)
    with fake_gpu(), torch.no_grad():
        move(objective.learner)
        objective.signal = SIGNALS["image"](torch.zeros_like)
        look = objective.next(Context(True, None, 0.1))
        assert look.positions.device == look.values.device == DEVICE


def test_a_source_of_its_own_goes_on_where_it_was() -> None:
    one, other = _objective("image", "hash_grid"), _objective("image", "hash_grid")
    one.own, other.own = torch.Generator().manual_seed(3), torch.Generator().manual_seed(4)
    one.next(EVAL)
    other.load_state_dict(one.state_dict())
    assert torch.equal(one.next(EVAL).positions, other.next(EVAL).positions)


def test_pictures_and_surfaces_are_shown_where_they_are() -> None:
    fields: dict[str, Any] = {}
    for kind in ("image", "panorama", "surface"):
        session = prepare_fit(SIGNALS[kind](torch.clone), HashGrid(), SignalFitting(steps=1, device="cpu"))
        fields[kind] = point_field_of(session.scene)
    with fake_gpu(), torch.no_grad():
        for field in fields.values():
            move(field)
        cameras = Cameras(torch.zeros(1, 3, 4, device=DEVICE), torch.ones(1, 4, device=DEVICE), ((8, 6),))
        flat, around = (kind(fields[name], (32, 16), linear=False) for kind, name in RENDERERS)
        for band in (*flat.bands((8, 6)), *around.bands((8, 6))):
            assert band.device == DEVICE
        assert around.render(cameras).color.device == DEVICE
        assert SphereTracer(fields["surface"]).normals(torch.zeros(5, 3, device=DEVICE)).device == DEVICE


RENDERERS = ((FlatRenderer, "image"), (PanoramaRenderer, "panorama"))
