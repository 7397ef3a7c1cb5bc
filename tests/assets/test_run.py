import errno
import json
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from scenekit.assets.atomic import replacing
from scenekit.assets.run import (
    checkpoints,
    inside,
    read_checkpoint,
    read_recipe,
    read_scene,
    require_new,
    write_checkpoint,
    write_recipe,
)
from scenekit.assets.state import read_state, write_state
from scenekit.core.checks import BadInput


def some_state(step: int = 0) -> dict:
    return {
        "renderer": {"table": torch.arange(4.0) + step, "network.0": torch.zeros(0, 3)},
        "batches": {"queue": [3, 1, 2]},
        "background": {},
        "optimizer": {"count": 7, "first": {"table": torch.ones(4)}},
        "index": step,
        "generator": torch.Generator().manual_seed(step).get_state(),
    }


def test_a_nested_state_survives_the_way_through_its_folder(tmp_path: Path) -> None:
    write_state(tmp_path / "state", some_state(5))
    again = read_state(tmp_path / "state")
    assert again["batches"] == {"queue": [3, 1, 2]}
    assert again["background"] == {}
    assert again["optimizer"]["count"] == 7
    assert torch.equal(again["renderer"]["table"], torch.arange(4.0) + 5)
    assert again["renderer"]["network.0"].shape == (0, 3)
    assert torch.equal(again["generator"], some_state(5)["generator"])


def test_only_the_newest_checkpoints_are_kept_and_the_newest_is_read(tmp_path: Path) -> None:
    for step in (10, 20, 100):
        write_checkpoint(tmp_path, step, some_state(step))
    assert [folder.name for folder in checkpoints(tmp_path)] == ["step-00000020", "step-00000100"]
    assert read_checkpoint(tmp_path)["index"] == 100


def test_a_checkpoint_that_fails_half_way_leaves_the_others_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_checkpoint(tmp_path, 10, some_state(10))

    def full(self: Path, text: str) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(BadInput, match="found No space left on device; free some space"):
        write_checkpoint(tmp_path, 20, some_state(20))
    monkeypatch.undo()
    assert read_checkpoint(tmp_path)["index"] == 10
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == ["step-00000010"]


def test_a_file_that_outgrows_the_disk_is_one_sentence_and_loses_nothing(tmp_path: Path) -> None:
    write_checkpoint(tmp_path, 10, some_state(10))
    script = f"""
import resource, signal, sys, torch
sys.path.insert(0, {str(Path(__file__).parents[2])!r})
from pathlib import Path
from scenekit.assets.run import write_checkpoint
from scenekit.core.checks import BadInput
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    write_checkpoint(Path({str(tmp_path)!r}), 20, {{"a": torch.zeros(1_000_000)}})
except BadInput as error:
    print(error)
"""
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert "step-00000020: wanted to write it, found File too large" in said
    assert [folder.name for folder in checkpoints(tmp_path)] == ["step-00000010"]
    assert read_checkpoint(tmp_path)["index"] == 10


def test_a_block_that_raises_leaves_what_stood_there(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    file.write_text("before")
    with pytest.raises(RuntimeError), replacing(file) as temporary:  # noqa: PT012
        temporary.write_text("half")
        raise RuntimeError
    assert file.read_text() == "before"
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_a_folder_takes_the_place_of_an_older_one(tmp_path: Path) -> None:
    for text in ("one", "two"):
        with replacing(tmp_path / "folder") as temporary:
            temporary.mkdir()
            (temporary / text).touch()
    assert [path.name for path in (tmp_path / "folder").iterdir()] == ["two"]
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_a_recipe_is_read_as_it_was_written(tmp_path: Path) -> None:
    write_recipe(tmp_path, {"training": {"steps": 3}, "capture": {"path": "a b"}})
    recipe = read_recipe(tmp_path)
    assert recipe["training"] == {"steps": 3}
    assert recipe["capture"] == {"path": "a b"}


@pytest.mark.bad_input
def test_a_run_of_an_unknown_version_is_refused(tmp_path: Path) -> None:
    (tmp_path / "recipe.toml").write_text('format = "scenekit-run"\nversion = 99\n')
    with pytest.raises(BadInput, match=r"version 1, found .*version 99; use the scenekit that wrote it"):
        read_recipe(tmp_path)


@pytest.mark.bad_input
def test_folders_that_are_no_runs_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="wanted a run folder"):
        read_recipe(tmp_path)
    (tmp_path / "recipe.toml").write_text("not = [toml")
    with pytest.raises(BadInput, match="wanted a recipe in TOML"):
        read_recipe(tmp_path)
    with pytest.raises(BadInput, match="wanted a trained scene, found none yet"):
        read_scene(tmp_path)
    with pytest.raises(BadInput, match="wanted a checkpoint to resume from"):
        read_checkpoint(tmp_path)


@pytest.mark.bad_input
def test_damaged_weights_and_checkpoints_are_named(tmp_path: Path) -> None:
    (tmp_path / "scene.safetensors").write_bytes(b"\xff" * 100)
    with pytest.raises(BadInput, match=r"scene.safetensors: wanted a safetensors file"):
        read_scene(tmp_path)
    save_file({"cameras.poses": torch.ones(2, dtype=torch.complex64)}, tmp_path / "scene.safetensors")
    with pytest.raises(BadInput, match=r"wanted cameras\.poses of real numbers, found complex64"):
        read_scene(tmp_path)
    write_checkpoint(tmp_path, 1, some_state())
    values = next(tmp_path.rglob("values.json"))
    values.write_text(json.dumps({})[:1])
    with pytest.raises(BadInput, match=r"values.json: wanted a checkpoint's values"):
        read_checkpoint(tmp_path)


@pytest.mark.bad_input
def test_nothing_that_exists_is_written_over(tmp_path: Path) -> None:
    require_new(tmp_path / "new")
    require_new(tmp_path)
    (tmp_path / "precious").touch()
    with pytest.raises(BadInput, match="wanted a new folder, found one with files in it"):
        require_new(tmp_path)
    with pytest.raises(BadInput, match="found a file"):
        require_new(tmp_path / "precious")


@pytest.mark.bad_input
@pytest.mark.parametrize("name", ["checkpoints", "metrics.jsonl", "renders"])
def test_a_stranger_s_run_cannot_have_us_write_elsewhere(name: str, tmp_path: Path) -> None:
    outside, run = tmp_path / "mine", tmp_path / "run"
    (outside / "step-00000001").mkdir(parents=True)
    run.mkdir()
    (run / name).symlink_to(outside)
    with pytest.raises(BadInput, match="wanted a place in the run itself, found a link to"):
        inside(run, name)
    if name == "checkpoints":
        with pytest.raises(BadInput, match="found a link to"):
            write_checkpoint(run, 2, some_state(2))
    assert [path.name for path in outside.iterdir()] == ["step-00000001"]


def test_files_that_are_links_are_replaced_and_not_written_through(tmp_path: Path) -> None:
    mine, run = tmp_path / "mine", tmp_path / "run"
    run.mkdir()
    mine.write_text("precious")
    (run / "recipe.toml").symlink_to(mine)
    write_recipe(run, {})
    assert mine.read_text() == "precious"
    assert not (run / "recipe.toml").is_symlink()


@pytest.mark.bad_input
def test_a_checkpoint_that_is_a_link_is_removed_without_what_it_points_to(tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "precious").touch()
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    (tmp_path / "run" / "checkpoints" / "step-00000001").symlink_to(mine)
    for step in (2, 3):
        write_checkpoint(tmp_path / "run", step, some_state(step))
    assert [folder.name for folder in checkpoints(tmp_path / "run")] == ["step-00000002", "step-00000003"]
    assert (mine / "precious").exists()


@pytest.mark.bad_input
def test_names_in_a_checkpoint_and_pickles_are_data_alone(tmp_path: Path) -> None:
    opened: list[int] = []

    class Trap:
        def __reduce__(self) -> tuple:
            return opened.append, (1,)

    write_state(tmp_path / "state", {"../../outside": {"/etc/passwd": torch.zeros(1)}, "__class__": 1})
    assert read_state(tmp_path / "state")["__class__"] == 1
    assert [path.name for path in tmp_path.iterdir()] == ["state"]
    for file in ("tensors.safetensors", "values.json"):
        folder = tmp_path / file
        write_state(folder, some_state())
        (folder / file).write_bytes(pickle.dumps(Trap()))
        with pytest.raises(BadInput):
            read_state(folder)
    (tmp_path / "recipe.toml").write_bytes(pickle.dumps(Trap()))
    with pytest.raises(BadInput, match="a recipe in TOML"):
        read_recipe(tmp_path)
    assert not opened
