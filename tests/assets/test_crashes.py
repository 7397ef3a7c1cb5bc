"""A run that is damaged, disturbed or short of space: nothing half is taken for whole, and nothing good is lost."""

import ctypes
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from scenekit.assets.atomic import remove_leftovers, replacing
from scenekit.assets.lock import holding
from scenekit.assets.run import checkpoints, read_checkpoint, write_checkpoint
from scenekit.assets.saving import Saving
from scenekit.assets.state import read_state, write_state
from scenekit.assets.tensors import read_tensors, write_tensors
from scenekit.cli import main
from scenekit.core.checks import BadInput

pytestmark = pytest.mark.long

ROOT = Path(__file__).parents[2]
TINY = ["--log2-table", "10", "--levels", "4", "--finest", "32", "--networks.width", "16", "--batch-samples", "4096",
        "--marching.steps", "32", "--marching.grid", "16", "--occupancy-cells", "512", "--downscale", "8"]  # fmt: skip


def some_state(step: int) -> dict:
    return {"a": {"table": torch.arange(500.0) + step, "flags": torch.tensor([True, False])}, "index": step}


def test_commands_ended_at_random_moments_and_resumed_leave_the_bits_of_undisturbed_ones() -> None:
    """The gate's share of ``python -m tests.nightly.crashes``; ``process`` leaves the same bits on one core alone."""
    command = [sys.executable, "-m", "tests.nightly.crashes", "--kills", "14", "--jobs"]
    jobs = ["hash_grid", "gaussians", "gaussians to gaussians", "hash_grid to gaussians", "export splats.ply",
            "export mesh.obj"]  # fmt: skip
    done = subprocess.run([*command, *jobs], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("same bits") + done.stdout.count("left out") == len(jobs), done.stdout


def test_every_kind_of_tensor_comes_back_and_other_programs_read_the_file(tmp_path: Path) -> None:
    from safetensors.torch import load_file

    kinds = (torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.int16,
             torch.int8, torch.uint8, torch.bool)  # fmt: skip
    given = {str(kind): torch.arange(6).reshape(2, 3).to(kind) for kind in kinds}
    given |= {"none": torch.zeros(0, 3), "one": torch.tensor(7.0), "turned": torch.arange(6.0).reshape(2, 3).T}
    write_tensors(tmp_path / "file", given)
    for found in (read_tensors(tmp_path / "file"), load_file(tmp_path / "file")):
        assert found.keys() == given.keys()
        for name, tensor in given.items():
            assert torch.equal(found[name], tensor), name
            assert found[name].dtype == tensor.dtype


@pytest.mark.bad_input
def test_no_changed_bit_and_no_cut_passes_for_what_was_written(tmp_path: Path) -> None:
    write_state(tmp_path / "state", some_state(3))
    good = {file: file.read_bytes() for file in (tmp_path / "state").iterdir()}
    assert len(good) == 2
    expected = read_state(tmp_path / "state")
    for file, data in good.items():
        for place in {*range(0, len(data), 7), *range(min(len(data), 120))}:
            for changed in (data[:place] + bytes([data[place] ^ (1 << place % 8)]) + data[place + 1 :], data[:place]):
                file.write_bytes(changed)
                try:
                    found = read_state(tmp_path / "state")
                except BadInput as error:
                    assert file.name in str(error)  # noqa: PT017
                else:  # a bit of the checksum's own name: what it is about is whole
                    assert torch.equal(found["a"]["table"], expected["a"]["table"])
                    assert found["index"] == 3
        file.write_bytes(data)


@pytest.mark.bad_input
@pytest.mark.parametrize("damage", ["cut", "flipped", "values", "gone"])
def test_an_older_checkpoint_is_read_where_the_newest_is_damaged(damage: str, tmp_path: Path) -> None:
    for step in (3, 6):
        write_checkpoint(tmp_path, step, some_state(step))
    tensors, values = (tmp_path / "checkpoints/step-00000006" / name for name in ("tensors.safetensors", "values.json"))
    if damage == "cut":
        tensors.write_bytes(tensors.read_bytes()[:-1000])
    elif damage == "flipped":
        data = bytearray(tensors.read_bytes())
        data[-500] ^= 1
        tensors.write_bytes(bytes(data))
    elif damage == "values":
        values.write_text(values.read_text().replace('"index": 6', '"index": 7'))
    else:
        tensors.unlink()
    assert read_checkpoint(tmp_path)["index"] == 3
    write_checkpoint(tmp_path, 4, some_state(4))  # what comes after the damage takes its place
    assert [folder.name for folder in checkpoints(tmp_path)] == ["step-00000003", "step-00000004"]


@pytest.mark.bad_input
def test_a_training_goes_on_from_what_is_whole_and_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "run"
    resume = ["train", "--resume", "-r", "hash_grid", "-o", str(run), "--steps"]
    assert main(["train", "synthetic", "-r", "hash_grid", "-o", str(run), "--json", *TINY, "--steps", "3"]) == 0
    whole = (run / "scene.safetensors").read_bytes()
    damaged = run / "checkpoints" / "step-00000006"
    damaged.mkdir()
    assert main([*resume, "3"]) == 0
    assert f"{damaged} is damaged; continuing from step 3 instead" in capsys.readouterr().err
    assert (run / "scene.safetensors").read_bytes() == whole
    assert not damaged.exists()
    (run / "checkpoints" / "step-00000003" / "values.json").write_text("{")
    assert main([*resume, "3"]) == 2
    assert "step-00000003/values.json: wanted a checkpoint's values" in capsys.readouterr().err
    shutil.rmtree(run / "checkpoints")
    assert main([*resume, "3"]) == 2  # what is finished is not begun again
    (run / "scene.safetensors").unlink()
    assert main([*resume, "3"]) == 0  # what was ended before its first checkpoint is
    assert (run / "scene.safetensors").read_bytes() == whole


def test_what_killed_processes_left_is_removed_and_a_folder_put_aside_comes_back(tmp_path: Path) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    (tmp_path / f".scene.{dead.pid}.new").touch()
    (tmp_path / f".page.{dead.pid}.old").mkdir()
    (tmp_path / f".other.{os.getpid()}.new").touch()
    (tmp_path / ".gitignore").touch()
    remove_leftovers(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"page", f".other.{os.getpid()}.new", ".gitignore"}


def test_a_file_being_replaced_gets_rid_of_earlier_attempts_at_it_alone(tmp_path: Path) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    for name in ("a.ply", "b.ply"):
        (tmp_path / f".{name}.{dead.pid}.new").touch()
    with replacing(tmp_path / "a.ply") as file:
        file.touch()
    assert {path.name for path in tmp_path.iterdir()} == {"a.ply", f".b.ply.{dead.pid}.new"}


@pytest.mark.bad_input
def test_two_processes_on_one_run_are_refused_and_a_killed_one_leaves_no_lock(tmp_path: Path) -> None:
    run = tmp_path / "run"
    script = f"""
import sys, time
from pathlib import Path
from scenekit.assets.lock import holding
with holding(Path({str(run)!r})):
    print("held", flush=True)
    time.sleep(600)
"""
    other = subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert other.stdout is not None
    assert other.stdout.readline() == "held\n"
    try:
        with pytest.raises(BadInput, match=f"wanted a run that no other process writes, found process {other.pid} at"):
            holding(run).__enter__()
        assert main(["train", "synthetic", "-o", str(run)]) == 2
    finally:
        other.kill()
        other.wait()
    with holding(run):
        assert (run / ".lock").exists()
    assert not list(run.iterdir())


@pytest.mark.bad_input
def test_a_refused_training_leaves_no_folder(tmp_path: Path) -> None:
    assert main(["train", str(tmp_path / "nothing"), "-o", str(tmp_path / "a" / "run")]) == 2
    assert main(["train", "--resume", "-o", str(tmp_path / "b" / "run")]) == 2
    assert not list(tmp_path.iterdir())


def started(run: Path, *arguments: str) -> subprocess.Popen[str]:
    """A training without end, that has made some steps."""
    command = [sys.executable, "-m", "scenekit", "train", "synthetic", "-r", "hash_grid", *TINY, "-o", str(run)]
    training = subprocess.Popen([*command, *arguments], cwd=ROOT, text=True, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 120
    while not (run / "metrics.jsonl").exists() or (run / "metrics.jsonl").read_bytes().count(b"\n") < 3:
        assert time.monotonic() < deadline
        assert training.poll() is None
        time.sleep(0.05)
    return training


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_saves_between_two_steps_and_the_run_goes_on_from_there(
    number: signal.Signals, code: int, tmp_path: Path
) -> None:
    training = started(tmp_path / "run", "--steps", "1000000")
    training.send_signal(number)
    _, said = training.communicate(timeout=100)
    assert training.returncode == code, said
    (checkpoint,) = checkpoints(tmp_path / "run")
    step = read_checkpoint(tmp_path / "run")["index"]
    assert f"interrupted at step {step}; continue with: scenekit train --resume" in said
    assert checkpoint.name == f"step-{step:08d}"
    assert not list((tmp_path / "run").rglob(".*"))


def test_a_checkpoint_holds_what_was_copied_though_training_goes_on(tmp_path: Path) -> None:
    saving = Saving(tmp_path)
    for step in (1, 2, 3):
        state = some_state(step)
        saving.save(step, state)
        state["a"]["table"].fill_(-1)
        state["index"] = -1
    saving.wait()
    for folder, step in zip(checkpoints(tmp_path), (2, 3), strict=True):
        found = read_state(folder)
        assert torch.equal(found["a"]["table"], torch.arange(500.0) + step)
        assert found["index"] == step
    assert 0 < saving.blocked < saving.cost
    assert saving.count == 3
    assert saving.blocked < saving.stalled < saving.spent


@pytest.mark.bad_input
def test_a_checkpoint_that_could_not_be_written_is_said_at_the_next_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from scenekit.assets import saving as module

    def full(*_: object) -> None:
        raise BadInput.of("a", wanted="to write it", found="No space left on device", remedy="free some space")

    saving = Saving(tmp_path)
    monkeypatch.setattr(module, "write_checkpoint", full)
    saving.save(1, some_state(1))
    assert saving._writing is not None
    saving._writing.join()
    with pytest.raises(BadInput, match="No space left"):
        saving.is_due()
    assert not saving.is_due()


def test_checkpoints_become_rarer_where_they_would_take_more_than_a_hundredth(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from scenekit.assets import saving as module

    now = 1000.0
    monkeypatch.setattr(module.time, "monotonic", lambda: now)
    saving = Saving(tmp_path)
    now += 61
    assert saving.is_due()
    saving.save(1, some_state(1))
    saving.wait()
    saving.cost = 2.0
    now += 199
    assert not saving.is_due()
    now += 2
    assert saving.is_due()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 1.5 MB."""
    libc = ctypes.CDLL(None, use_errno=True)
    place = tmp_path / "disk"
    place.mkdir()
    if sys.platform != "linux" or libc.mount(b"tmpfs", bytes(place), b"tmpfs", 0, b"size=1500k") != 0:
        pytest.skip("a small disk cannot be mounted here: it takes Linux and its administrator")
    yield place
    libc.umount2(bytes(place), 2)


@pytest.mark.bad_input
def test_a_full_disk_loses_no_checkpoint(small_disk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = small_disk / "run"
    assert main(["train", "synthetic", "-r", "hash_grid", "-o", str(run), "--json", *TINY, "--steps", "4"]) == 0
    kept = read_checkpoint(run)
    with (small_disk / "filler").open("wb", buffering=0) as filler:
        for _ in range(10_000):
            try:
                filler.write(bytes(4096))
            except OSError:
                break
    capsys.readouterr()
    assert main(["train", "--resume", "-r", "hash_grid", "-o", str(run), "--steps", "8"]) == 2
    assert "No space left on device" in capsys.readouterr().err
    assert torch.equal(read_checkpoint(run)["optimizer"]["first"]["encoding.table"],
                       kept["optimizer"]["first"]["encoding.table"])  # fmt: skip
    with pytest.raises(BadInput, match="No space left on device"):
        write_checkpoint(run, 9, {"a": torch.zeros(100_000)})
    assert [folder.name for folder in checkpoints(run)] == ["step-00000004"]
    (small_disk / "filler").unlink()
    assert main(["train", "--resume", "-r", "hash_grid", "-o", str(run), "--steps", "8"]) == 0


def test_a_signal_during_an_export_leaves_the_file_that_stood_there_and_no_other(tmp_path: Path) -> None:
    script = f"""
import os, signal, sys, time
from pathlib import Path
from scenekit.assets.atomic import replacing
from scenekit.cli import _guarded
def export(arguments):
    with replacing(Path(arguments[0])) as file:
        file.write_text("half")
        os.kill(os.getpid(), getattr(signal, arguments[1]))
        time.sleep(60)
sys.exit(_guarded(export, [{str(tmp_path / "a.ply")!r}, sys.argv[1]]))
"""
    (tmp_path / "a.ply").write_text("whole")
    for name, code in (("SIGINT", 130), ("SIGTERM", 143)):
        done = subprocess.run(
            [sys.executable, "-c", script, name], cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert done.returncode == code, done.stderr
        assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"a.ply": "whole"}
