"""``scenekit train --processes``: one run out of several processes, whatever happens to them."""

import json
import os
import signal
import subprocess
import sys
import time
import weakref
from pathlib import Path

import pytest
import torch

from scenekit.assets.run import checkpoints, read_checkpoint
from scenekit.cli import main, processes
from scenekit.cli.processes import joined
from scenekit.recipes import load
from tests.cli.test_commands import FAST

pytestmark = pytest.mark.long

SPLATS = ["synthetic", "-r", "gaussians", "--downscale", "4"]
TRAIN = [sys.executable, "-m", "scenekit", "train"]
SMALL = ["synthetic", "-r", "hash_grid", *FAST]


def started(*arguments: str) -> subprocess.Popen[str]:
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [*TRAIN, *arguments], env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def test_two_processes_leave_one_run_that_one_process_continues(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    output, errors = started(*SMALL, "--processes", "2", "--steps", "12", "-o", str(run), "--json").communicate()
    figures = json.loads(output)  # one object: the second process is silent
    assert (figures["steps"], figures["processes"]) == (12, 2), errors
    assert errors.count("memory: predicted") == 1
    assert [json.loads(line)["step"] for line in (run / "metrics.jsonl").read_text().splitlines()] == [0, 10]
    assert main(["train", "--resume", "-o", str(run), "--steps", "14", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["steps_this_time"] == 2


def test_gaussians_of_two_processes_become_one_run_that_any_number_of_processes_continues(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, team = tmp_path / "run", ("--processes", "2", "-o", str(tmp_path / "run"), "--json")
    output, errors = started(*SPLATS, "--steps", "130", *team).communicate()  # beyond the first act of densification
    assert json.loads(output)["steps"] == 130, errors
    state = read_checkpoint(run)
    count = len(state["objective"]["renderer"]["primitives.means"])
    assert len(load(run).renderer.state_dict()["primitives.means"]) == count
    assert len(state["controller0"]["seen"]) == len(state["optimizer"]["first"]["means"]) == count
    assert "owners" not in state
    output, errors = started("--resume", "--steps", "132", *team).communicate()
    assert json.loads(output)["steps_this_time"] == 2, errors
    assert main(["train", "--resume", "-o", str(run), "--steps", "134", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["steps_this_time"] == 2


@pytest.mark.parametrize("kind", [SMALL, SPLATS])
def test_ctrl_c_saves_one_checkpoint_and_ends_all(kind: list[str], tmp_path: Path) -> None:
    run = tmp_path / "run"
    training = started(*kind, "--processes", "2", "--steps", "100000", "-o", str(run))
    deadline = time.monotonic() + 120
    while not (run / "metrics.jsonl").exists() or not (run / "metrics.jsonl").stat().st_size:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    training.send_signal(signal.SIGINT)
    _, errors = training.communicate(timeout=100)
    assert training.returncode == 130, errors
    assert "continue with: scenekit train --resume" in errors
    assert len(checkpoints(run)) == 1
    assert main(["train", "--resume", "-o", str(run), "--steps", "1", "--json"]) == 0  # it is whole


@pytest.mark.bad_input
def test_what_one_process_refuses_ends_all_with_its_sentence_once(tmp_path: Path) -> None:
    training = started(str(tmp_path / "nothing"), "--processes", "2", "-o", str(tmp_path / "run"))
    _, errors = training.communicate(timeout=100)
    assert training.returncode == 2
    assert errors.count(str(tmp_path / "nothing")) == 1


@pytest.mark.bad_input
@pytest.mark.parametrize(("first", "second", "code"), [
    ("time.sleep(0.5); sys.exit(2)", "sys.exit(1)", 2),  # it ended of the first one's end, but before it
    ("time.sleep(60)", "sys.exit(3)", 3),
    ("time.sleep(60)", "os.abort()", 1),
])  # fmt: skip
def test_a_refusal_is_the_first_process_s_to_say(
    monkeypatch: pytest.MonkeyPatch, first: str, second: str, code: int
) -> None:
    monkeypatch.setattr(processes, "MOMENT", 5.0 if code == 2 else 0.1)
    team = [subprocess.Popen([sys.executable, "-c", f"import os, sys, time; {body}"]) for body in (first, second)]
    try:
        assert processes._watched(team) == (0 if code == 2 else 1, code)
    finally:
        processes._end(team)


@pytest.mark.bad_input
def test_no_process_at_all_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "synthetic", "--processes", "0"]) == 2
    assert "--processes: wanted at least one, found 0; ask for more" in capsys.readouterr().err


@pytest.mark.bad_input
def test_more_processes_than_gpus_are_refused(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert main(["train", "synthetic", "--processes", "3"]) == 2
    assert "found 3 for 2 GPUs" in capsys.readouterr().err


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("flag", "said"), [("--compact", "wanted one with --compact"), ("--live", "holds the whole scene")]
)
def test_what_needs_all_gaussians_in_one_process_is_refused_in_several(flag: str, said: str, tmp_path: Path) -> None:
    training = started(*SPLATS, "--processes", "2", "--steps", "2", "-o", str(tmp_path / "run"), flag)
    _, errors = training.communicate(timeout=100)
    assert training.returncode == 2
    assert said in errors


def test_a_training_is_gone_before_its_processes_part(monkeypatch: pytest.MonkeyPatch) -> None:
    """NCCL waits for as long as a CUDA graph of a training holds what was said in it."""

    class Training:
        def __init__(self) -> None:
            self.itself = self

    gone: list[bool] = []
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.distributed, "init_process_group", lambda *_: None)
    monkeypatch.setattr(torch.distributed, "destroy_process_group", lambda: gone.append(watched() is None))
    with joined():
        training = Training()
        watched = weakref.ref(training)
        del training
    assert gone == [True]
