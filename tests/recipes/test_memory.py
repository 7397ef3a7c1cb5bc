"""The memory plan: what it counts, and what it says to a run that will not fit."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from scenekit import DenseGrid, Gaussians, HashGrid, LowRank, Mlp
from scenekit.cli import main
from scenekit.core.checks import BadInput
from scenekit.data import Capture, StoredImages, open_capture
from scenekit.data.features import MOST_FEATURES
from scenekit.recipes import Fitting, memory, prepare
from scenekit.recipes.configs import SplatFitting, VolumeFitting
from scenekit.recipes.memory import (
    COPIES,
    GIB,
    GRID_FLOATS,
    SAMPLE_FLOATS,
    Plan,
    bytes_of_opening,
    left_of_opening,
    plans_of,
    training_plan,
)
from scenekit.recipes.point_plans import FEATURE_FLOATS, MATCHER, SOUGHT_IN, triangulation_bytes
from scenekit.renderers.volume import Marching
from scenekit.training.steps import steps
from tests.data.captures import SIZE, sample, write_colmap, write_transforms
from tests.pretend_gpu import FREE, HELD

EACH = SIZE[0] * SIZE[1] * 4
COARSE = VolumeFitting(marching=Marching(grid=16))  # cells are looked at from every camera before they are counted


def test_splats_are_counted_as_many_as_they_may_become(tmp_path: Path) -> None:
    capture = open_capture(write_colmap(tmp_path / "capture", sample()))
    plans = [plans_of(prepare(capture, Gaussians(max_count=n), Fitting(steps=1)))[0] for n in (1000, 2000)]
    small, large = (plan.parts["parameters"] for plan in plans)
    assert large == pytest.approx(2 * small)
    assert plans[0].parts["photographs"] == len(sample()) * EACH


def test_only_the_cache_counts_where_photographs_are_streamed(tmp_path: Path) -> None:
    capture = open_capture(write_colmap(tmp_path / "capture", sample()), cache_bytes=3 * EACH)
    (plan,) = plans_of(prepare(capture, Gaussians(max_count=1000), Fitting(steps=1)))
    assert plan.parts["photographs"] == 6 * EACH


def test_the_sentence_names_the_sum_the_limit_and_the_parts() -> None:
    plan = Plan({"photographs": 2 * GIB, "parameters": 1.1 * GIB}, 8 * GIB)
    assert plan.sentence() == "memory: predicted 3.1 GiB of 8.0 (photographs 2.0, parameters 1.1)"
    plan.check()


@pytest.mark.bad_input
def test_a_run_that_will_not_fit_is_told_what_would_make_it_fit() -> None:
    with pytest.raises(BadInput, match=r"within 8.0 GiB, found a prediction of 9.1 GiB, 9.0 .* --cache 1.*--downscale"):
        Plan({"photographs": 9 * GIB, "the process": 0.1 * GIB}, 8 * GIB).check()


def test_training_streams_within_the_cache_and_goes_on_with_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root, run = write_transforms(tmp_path / "capture", sample()), tmp_path / "run"
    cache = str(3 * EACH / GIB)
    small = ["--log2-table", "10", "--batch-samples", "4096", "--marching.grid", "16", "--json"]
    arguments = ["train", str(root), "-r", "hash_grid", "--cache", cache, "--steps", "3", "-o", str(run), *small]
    assert main(arguments) == 0
    said = capsys.readouterr()
    assert "they are decoded when needed" in said.err
    assert "memory: predicted" in said.err
    assert json.loads(said.out)["predicted_memory_bytes"] > 0
    assert main(["train", "--resume", "-r", "hash_grid", "-o", str(run), "--steps", "5", "--json"]) == 0
    said = capsys.readouterr()
    assert "they are decoded when needed" in said.err
    assert json.loads(said.out)["steps_this_time"] == 2


def test_a_gpu_holds_photographs_parameters_and_the_step_and_main_memory_the_rest(
    tmp_path: Path, pretended_gpu: None
) -> None:
    capture = open_capture(write_colmap(tmp_path / "capture", sample()))
    photographs = len(sample()) * EACH
    field = HashGrid(log2_table=10)
    here, there = plans_of(prepare(capture, field, Fitting(steps=1), COARSE))
    (alone,) = plans_of(prepare(capture, field, Fitting(steps=1, device="cpu"), COARSE))
    assert (here.of, there.of, there.available) == ("memory", "GPU memory", FREE + HELD)
    assert here.parts["photographs"] == photographs
    assert alone.parts["photographs"] == 2 * photographs
    assert there.parts["photographs"] == 2 * len(capture.train) * EACH
    assert set(here.parts) == {"photographs", "parameters", "the process"}
    whole = SAMPLE_FLOATS / GRID_FLOATS  # a grid's fused ops keep less on a CPU
    assert there.parts["a step"] == pytest.approx(2 * whole * alone.parts["a step"])  # first run, and recorded
    assert there.parts["parameters"] > alone.parts["parameters"] > here.parts["parameters"]
    splats = plans_of(prepare(capture, Gaussians(max_count=1000), Fitting(steps=1)))[1]
    assert splats.parts["photographs"] == len(capture.train) * EACH


def test_opening_and_triangulating_count_beyond_what_training_takes_and_only_where_they_happen(tmp_path: Path) -> None:
    bare = open_capture(write_transforms(tmp_path / "bare", sample()))
    given = open_capture(write_colmap(tmp_path / "given", sample()))

    def before(capture: Capture, *, count: int = 1000) -> Plan:
        return training_plan(capture, Gaussians(max_count=count), SplatFitting(), 8 * GIB)

    assert "the beginning" not in training_plan(bare, HashGrid(log2_table=10), COARSE, 8 * GIB).parts
    assert "the beginning" not in before(given).parts
    less, more = before(bare), before(bare, count=2000)
    assert less.total == pytest.approx(more.total)  # the peak is that of triangulating, whatever comes later
    assert less.parts["the beginning"] > more.parts["the beginning"] > 0
    assert "the beginning" not in before(bare, count=10_000_000).parts
    assert before(replace(given, points=None)).total > before(given).total
    assert less.parts["the process"] == before(given).parts["the process"] + MATCHER  # it stays


def test_photographs_are_counted_as_they_are_matched_and_a_cache_holds_few_of_them(tmp_path: Path) -> None:
    root = write_transforms(tmp_path / "capture", sample())
    whole, small = open_capture(root), open_capture(root, downscale=2)
    assert triangulation_bytes(whole) == triangulation_bytes(small)  # at a size of its own
    stored = replace(whole, images=StoredImages(whole.source.photographs, 1.0, EACH))
    assert triangulation_bytes(whole) - triangulation_bytes(stored) == (len(whole.train) - 1) * EACH
    features = len(whole.train) * MOST_FEATURES * FEATURE_FLOATS * 4
    assert triangulation_bytes(stored) == EACH + features + SOUGHT_IN * EACH / 4


def test_several_photographs_a_step_take_as_many_times_the_memory_of_one(tmp_path: Path) -> None:
    capture = open_capture(write_colmap(tmp_path / "capture", sample()))
    one, three = (
        training_plan(capture, Gaussians(max_count=1000), SplatFitting(batch_photographs=count), 8 * GIB)
        for count in (1, 3)
    )
    assert three.parts["a step"] == pytest.approx(3 * one.parts["a step"])


def test_small_blocks_of_decoding_stay_with_the_process_and_large_ones_make_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    capture = open_capture(write_colmap(tmp_path / "capture", sample()))
    opening = bytes_of_opening(capture)
    assert opening > 0
    assert left_of_opening(capture, 2 * opening) == opening
    monkeypatch.setattr(memory, "RETURNED", 1)
    assert left_of_opening(capture, 2 * opening) == 0
    assert left_of_opening(capture, opening / 4) == 0.75 * opening


def test_photographs_that_stay_in_main_memory_are_not_counted_on_the_gpu(tmp_path: Path, pretended_gpu: None) -> None:
    capture = open_capture(write_colmap(tmp_path / "capture", sample()), cache_bytes=3 * EACH)
    here, there = plans_of(prepare(capture, HashGrid(log2_table=10), Fitting(steps=1), COARSE))
    assert here.parts["photographs"] == 6 * EACH
    assert "photographs" not in there.parts


@pytest.mark.parametrize("kind", [DenseGrid(coarsest=8, resolution=24), LowRank(coarsest=8, finest=24)])
def test_a_field_is_counted_as_large_as_it_grows(tmp_path: Path, kind: DenseGrid | LowRank) -> None:
    capture = open_capture(write_colmap(tmp_path / "capture", sample()))
    session = prepare(capture, kind, Fitting(steps=20), replace(COARSE, batch_samples=1024))
    (plan,) = plans_of(session)
    for _ in steps(session.training):
        pass
    numbers = sum(p.numel() for group in session.scene.renderer.parameter_groups() for p in group.parameters.values())
    assert plan.parts["parameters"] == pytest.approx(COPIES * 4 * numbers)


def test_layers_that_keep_what_they_give_are_counted(tmp_path: Path) -> None:
    capture = open_capture(write_colmap(tmp_path / "capture", sample()))
    fitting = replace(COARSE, batch_samples=1000)
    wide, frequencies, fused = (
        plans_of(prepare(capture, kind, Fitting(steps=1), fitting))[0].parts["a step"]
        for kind in (Mlp(width=64, activation="siren"), Mlp(width=64, finest=1024), HashGrid(log2_table=10))
    )
    assert wide > fused + 4 * 2 * 8 * 64 * 1000
    assert frequencies >= fused + 4 * 2 * 63 * 1000  # the angles and their sines


@pytest.mark.bad_input
def test_a_run_that_will_not_fit_on_the_gpu_is_refused(
    tmp_path: Path, pretended_gpu: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device=None: (GIB, GIB))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device=None: 0)
    root, run = write_colmap(tmp_path / "capture", sample()), tmp_path / "run"
    assert main(["train", str(root), "--steps", "1", "-o", str(run), "--max-count", "2000000"]) == 2
    said = capsys.readouterr().err
    assert "GPU memory: wanted a run within 1.0 GiB" in said
    assert "--max-count" in said
    assert not run.exists() or not any(run.glob("*.safetensors"))


@pytest.mark.bad_input
def test_memory_that_is_not_there_is_refused_before_training(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root, run = write_colmap(tmp_path / "capture", sample()), tmp_path / "run"
    assert main(["train", str(root), "--steps", "1", "-o", str(run), "--memory", "0.1"]) == 2
    assert "memory: wanted a run within 0.1 GiB" in capsys.readouterr().err
    assert main(["train", str(root), "--steps", "1", "-o", str(run), "--cache", "2", "--memory", "1"]) == 2
    assert "--cache: wanted between 0 and 1.0 GiB, found 2" in capsys.readouterr().err


def test_every_cascade_of_a_field_is_counted(tmp_path: Path) -> None:
    capture = open_capture(write_colmap(tmp_path / "capture", sample()))
    sizes = {}
    for extent in (1.0, 8.0):
        there = replace(capture, bounds=replace(capture.bounds, extent=extent))
        sizes[extent] = plans_of(prepare(there, HashGrid(log2_table=10), Fitting(steps=1), COARSE))[0].parts[
            "empty space"
        ]
    assert sizes[8.0] - sizes[1.0] == 3 * 3 * 5 * COARSE.marching.grid**3  # three more, of five bytes a cell
