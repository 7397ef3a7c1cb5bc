"""Steps that a GPU records read nothing back from it and mix no devices: their forward passes, without one."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from conformance.op_samples import SAMPLES
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from scenekit.core.context import Share
from scenekit.core.protocols import Context
from scenekit.data.synthetic import make
from scenekit.kernels import OPS
from scenekit.recipes import Fitting, prepare
from scenekit.renderers.splats import SplatRenderer
from scenekit.renderers.tile_room import Frame
from scenekit.renderers.volume import VolumeRenderer
from scenekit.representations import REPRESENTATIONS
from scenekit.training import capture
from scenekit.training.capture import MOST_RECORDINGS, Inputs, Recorder, rebuilt
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
            assert numbers_of(outcome, outcome.loss()).device == DEVICE


@pytest.mark.parametrize("name", ["assign_fours_", "hash_grid", "mlp", "nearest", "radiance", "simplex_grid"])
def test_a_reference_that_may_serve_on_a_gpu_waits_for_no_number(name: str) -> None:
    """Where kernels have no room for the shapes, or torch asks for a fixed order of sums."""
    given = SAMPLES[name].make(torch.Generator().manual_seed(0), torch.float32, SAMPLES[name].check_rows)
    with fake_gpu():
        arguments = tree_map(lambda x: fake(x) if isinstance(x, Tensor) else x, given)
        OPS[name].reference(*arguments)  # keeps what is copied once
        with recording():
            OPS[name].reference(*arguments)


def test_recordings_that_are_long_out_of_use_or_of_moved_parameters_go() -> None:
    recorder: Any = Recorder.__new__(Recorder)  # a stream of its own wants a GPU
    here, moved = ("here",), ("moved",)
    used = {("old", here): 10, ("lately", here): 400, ("now", here): 501, ("elsewhere", moved): 500}
    recorder._used, recorder._steps, recorder._pool = dict(used), 501, object()
    recorder._recordings = {key: object() for key in used if key[0] != "now"}
    recorder._make_room(here)
    assert set(recorder._recordings) == {("lately", here)}
    assert set(recorder._used) == {("lately", here), ("now", here)}
    recorder._recordings = {(number, here): object() for number in range(40)}
    recorder._used = {key: 500 - key[0] for key in recorder._recordings}
    recorder._make_room(here)
    assert set(recorder._recordings) == {(number, here) for number in range(MOST_RECORDINGS - 1)}


def test_processes_that_talk_record_what_is_recorded_in_all(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[int] = []
    theirs = iter([0, 0, -1, 1, 0])

    def of_all(share: Share, number: int) -> tuple[int, ...]:
        said.append(number)
        return number, next(theirs)

    monkeypatch.setattr(capture, "numbers_of_all", of_all)
    recorder: Any = Recorder.__new__(Recorder)
    recorder.share, recorder._programs = Share(0, 2), {}
    here = ("here",)
    large = ("large", here)
    keys = [recorder._key(program) for program in (large, ("small", here), large, large, None)]
    assert said == [0, 1, 0, 0, -1]
    assert keys == [((0, 0), here), ((1, 0), here), None, ((0, 1), here), None]  # the other's may be another
    recorder.share = Share()
    assert recorder._key(large) == ("large", here)
    assert recorder._key(None) is None
    assert len(said) == 5  # one process asks nobody


def test_memory_of_recordings_goes_back_when_the_last_is_gone_but_not_all_the_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now, given = [100.0], []

    def give() -> None:
        given.append(now[0])
        now[0] += 0.01

    monkeypatch.setattr(capture.time, "perf_counter", lambda: now[0])
    monkeypatch.setattr(torch.cuda, "empty_cache", give)
    recorder: Any = Recorder.__new__(Recorder)
    recorder._used, recorder._steps, recorder._give_again = {}, 0, 0.0
    for seconds, pool in ((0.0, object()), (0.5, object()), (0.3, None), (0.3, object())):
        now[0] += seconds
        recorder._recordings, recorder._pool = {("old", ("moved",)): object()}, pool
        recorder._make_room(("here",))
        assert recorder._pool is None
    assert given == pytest.approx([100.0, 101.11])  # after a hundred times as long as it took


def test_a_recording_copies_what_has_changed_since_it_was_last_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    inputs = Inputs([torch.empty(2), torch.empty(3)])
    copies: list[int] = []
    copy = torch._foreach_copy_

    def counted(to: list[Tensor], source: list[Tensor], **options: Any) -> None:
        copies.append(len(to))
        copy(to, source, **options)

    monkeypatch.setattr(torch, "_foreach_copy_", counted)
    cameras = torch.arange(2.0)
    looks = [torch.full((3,), float(value)) for value in range(4)]
    inputs.take([cameras, looks[0]])
    inputs.take([cameras, looks[1]])
    assert copies == [2, 1]
    assert inputs.tensors[0].tolist() == [0, 1]
    assert inputs.tensors[1].tolist() == [1, 1, 1]
    inputs.take([cameras, looks[1]])
    cameras += 1  # in place: the same tensor, other numbers
    inputs.take([cameras, looks[1]])
    assert copies == [2, 1, 1]
    assert inputs.tensors[0].tolist() == [1, 2]
    looks[2] += 0
    inputs.take([cameras.clone(), looks[2]])  # another tensor, whatever its numbers
    assert copies == [2, 1, 1, 2]
    assert inputs.tensors[1].tolist() == [2, 2, 2]
