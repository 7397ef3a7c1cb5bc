"""The matrix of conversions: nothing is lost or done twice, however a call ends, and teachers come back whole."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from benchmarks.conversion import keep, table, work
from benchmarks.conversion.__main__ import main
from benchmarks.conversion.records import Records
from benchmarks.conversion.tasks import Subject, Task, chosen, planned, tasks_of
from scenekit.assets.run import SCENE
from scenekit.cli import convert, train
from scenekit.cli.options import parse, preset_arguments
from scenekit.representations import REPRESENTATIONS

SMALL = "[gaussians]\n[dense_grid]\nbatch-samples = 2048\nresolution = 16\n"
BUDGET = 200.0


@pytest.mark.long
def test_an_interrupted_matrix_goes_on_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "small.toml").write_text(SMALL)
    options = ["synthetic:gaussians,dense_grid", "--pairs", "gaussians:dense_grid", "--device", "cpu", "--views", "1",
               "--preset", str(tmp_path / "small.toml"), "--downscale", "8", "--seconds", "2",
               "--teacher-seconds", "1", "-o", str(tmp_path / "found")]  # fmt: skip
    carried_out, begun = work.carried_out, []

    def ended_at_the_second(task: Task, setting: work.Setting) -> dict[str, Any]:
        begun.append(task.name)
        if len(begun) == 2:
            raise KeyboardInterrupt
        return carried_out(task, setting)

    monkeypatch.setattr(work, "carried_out", ended_at_the_second)
    with pytest.raises(KeyboardInterrupt):
        main(options)
    first = Records(tmp_path / "found").rows()
    assert list(first) == begun[:1]
    with pytest.raises(SystemExit) as left:
        main(options)
    rows = Records(tmp_path / "found").rows()
    assert left.value.code == 0
    assert begun.count(begun[0]) == 1
    assert {row["work"] for row in rows.values()} == {"teacher", "scratch", "convert"}
    assert all(row["psnr"] > 5 for row in rows.values() if "refused" not in row)
    with pytest.raises(SystemExit, match="found 'synthetic, downscale 8"):
        main([*options, "--downscale", "4"])
    capsys.readouterr()
    main(["--table", "-o", str(tmp_path / "found")])
    printed = capsys.readouterr().out
    assert "1 held-out photographs" in printed
    assert "| gaussians |" in printed


def test_a_teacher_that_is_wanted_but_was_not_brought_along_is_trained_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = []

    def pretended(task: Task, setting: work.Setting) -> dict[str, Any]:
        begun.append(task.name)
        if task.work == "teacher":
            setting.folder(task).mkdir(parents=True)
            keep.note(setting.folder(task), {})
        return row_of(task, setting, psnr=30.0)

    monkeypatch.setattr(work, "carried_out", pretended)
    subject, folder = Subject("lego", ("hash_grid", "gaussians")), tmp_path / "found"
    teacher = Task(subject, "teacher", ("hash_grid",), 30.0)
    records = Records(folder)
    records.add(row_of(teacher, work.Setting(folder)))
    with pytest.raises(SystemExit):
        main(["lego@none", "--pairs", "hash_grid:gaussians", "-o", str(folder)])
    assert begun[0] == teacher.name
    with pytest.raises(SystemExit):
        main(["lego@none", "--pairs", "hash_grid:gaussians", "-o", str(folder)])
    assert len(begun) == len(set(begun)) == len(records.rows())


def row_of(task: Task, setting: work.Setting, **figures: Any) -> dict[str, Any]:
    return {"task": task.name, "scope": setting.scope(task), "task_seconds": 1, "psnr": 0.0, **figures}


def test_rows_of_other_machines_are_joined_and_what_was_refused_gives_way(tmp_path: Path) -> None:
    records = Records(tmp_path)
    records.add({"task": "a", "psnr": 30.0})
    records.add({"task": "b", "refused": "BadInput: too small"})
    records.join({"a": {"task": "a", "psnr": 20.0}, "b": {"task": "b", "psnr": 25.0}, "c": {"task": "c", "psnr": 1.0}})
    assert {name: row["psnr"] for name, row in records.rows().items()} == {"a": 30.0, "b": 25.0, "c": 1.0}
    with records.claim("a") as mine, records.claim("a") as again:
        assert mine
        assert not again


def test_a_plan_ends_in_time_keeps_every_gpu_at_one_task_and_begins_with_teachers() -> None:
    tasks = tasks_of([Subject.of("lego", "gpu")], 20.0, 30.0)
    made = planned(tasks, {}, 4, BUDGET, 25)
    assert len(made) > 12
    assert max(each.ended for each in made) <= BUDGET
    ended = {each.task.name: each.ended for each in made}
    for each in made:
        assert each.task.teacher is None or ended[each.task.teacher.name] <= each.begun
        same = [other for other in made if other.gpu == each.gpu and other.begun >= each.ended]
        assert all(other.begun >= each.ended for other in same)
    row = chosen(tasks, ["mlp"], set())
    assert {task.kinds[0] for task in row if task.work == "convert"} == {"mlp"}
    assert len({task.name for task in tasks}) == len(tasks)


def test_teachers_are_cut_into_pieces_and_come_back_rounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keep, "PIECE", 1000)
    whole = {
        "renderer.table": torch.randn(70, 30),
        "renderer.means": torch.randn(100, 3),
        "renderer.large": torch.tensor([1e6, -1e6]),
        "occupied": torch.rand(5, 5, 5) > 0.5,
        "one": torch.tensor(7),
    }
    save_file(whole, tmp_path / SCENE)
    keep.split(tmp_path)
    assert len(list(tmp_path.glob("half-*"))) > 4
    back: Mapping[str, torch.Tensor] = keep.joined(tmp_path)
    assert {name: tensor.dtype for name, tensor in back.items()} == {n: t.dtype for n, t in whole.items()}
    for name in ("renderer.means", "occupied", "one"):
        assert torch.equal(back[name], whole[name])
    torch.testing.assert_close(back["renderer.table"], whole["renderer.table"], rtol=1e-3, atol=1e-6)
    assert back["renderer.large"].isfinite().all()


def test_the_table_says_what_was_lost_and_won() -> None:
    common = {"capture": "lego", "scope": "lego, all", "device": "cpu", "machine": {"commit": "abc"}, "seconds": 20.0}
    rows = [
        {"work": "teacher", "kinds": ["hash_grid"], "allowed_seconds": 30.0, "taught_seconds": 0.0, "psnr": 35.0},
        {"work": "scratch", "kinds": ["gaussians"], "allowed_seconds": 20.0, "taught_seconds": 0.0, "psnr": 32.0},
        {"work": "convert", "kinds": ["hash_grid", "gaussians"], "allowed_seconds": 20.0, "taught_seconds": 30.0,
         "psnr": 33.5, "teacher_psnr": 34.9},  # by the teacher that taught it, not one that was trained again since
    ]  # fmt: skip
    printed = table.tables([json.loads(json.dumps(common | row)) for row in rows])
    assert "33.50 (+1.40 / +1.50), 20 s" in printed
    assert "lego, all; cpu; commit abc" in printed
    assert "both errors added" not in printed
    rows[2]["psnr"] = 31.4
    printed = table.tables([json.loads(json.dumps(common | row)) for row in rows])
    # 1 / 10^3.49 + 1 / 10^3.2 is 1 / 10^3.02
    assert "| hash_grid -> gaussians | 31.40 dB | -0.60 dB | 30.20 dB |" in printed


@pytest.mark.parametrize("kind", REPRESENTATIONS)
def test_the_gpu_preset_without_its_limits_suits_trainings_and_conversions(kind: str) -> None:
    arguments = [*work.but_limits(preset_arguments("gpu", kind)), "--minutes", "0.5"]
    budget = parse(train.options_type(kind), "train", arguments).fitting.budget()
    assert (budget.steps, budget.minutes) == (None, 0.5)
    known = work.but_limits(preset_arguments("gpu", kind, convert.GENERAL_KEYS))
    assert parse(convert.options_type(kind), "convert", [*known, "--minutes", "0.5"]).converting.minutes == 0.5
