"""What is published is what was measured."""

import json
import re
from pathlib import Path

import pytest

from benchmarks import __main__ as again
from benchmarks import limits_page, photographs_page, record, results_page, tables


@pytest.mark.parametrize("page", tables.published(), ids=lambda page: page.name)
def test_pages_say_what_the_results_say(page: Path) -> None:
    assert page.read_text() == tables.published()[page], "run python -m benchmarks.tables"


def test_every_table_of_readme_is_one_that_is_written() -> None:
    text = tables.README.read_text()
    assert re.findall(r"<!-- table: (\w+) -->", text) == list(tables.TABLES)
    outside = re.sub(r"<!-- table: .*?<!-- end -->", "", text, flags=re.DOTALL)
    assert not re.search(r"^\|", outside, re.MULTILINE)  # no table is written by hand


def test_a_figure_that_was_changed_by_hand_is_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    forged = tmp_path / "README.md"
    forged.write_text(re.sub(r"\d\d\.\d dB", "99.9 dB", tables.README.read_text(), count=1))
    monkeypatch.setattr(tables, "README", forged)
    assert forged in tables.disagreeing()


def test_every_published_row_names_its_machine_its_commit_and_its_scope() -> None:
    for name in ("corrections", "cpu_training", "results_page", "live", "viewer", "baking", *photographs_page.RESULTS):
        for row in record.read(name)["rows"].values():
            assert row["scope"]
            assert {"processor", "cores", "torch", "commit"} <= row["machine"].keys()


def test_the_results_page_shows_pictures_that_are_there_and_small() -> None:
    shown = re.findall(r"\((results/[^)]+)\)", tables.PAGE.read_text())
    files = [tables.PAGE.parent / name for name in shown]
    assert files
    assert sum(file.stat().st_size for file in files) < 1e6


def test_a_row_is_kept_with_its_machine_and_the_old_figures_are_printed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(record, "FOLDER", tmp_path)
    record.keep("some", "row", {"psnr": 30.0})
    record.keep("some", "row", {"psnr": 31.0})
    assert "before: 30.0" in capsys.readouterr().out
    kept = json.loads((tmp_path / "some.json").read_text())["rows"]["row"]
    assert kept["psnr"] == 31.0
    assert kept["machine"]["torch"]


def test_rows_of_the_page_are_representations_with_presets() -> None:
    assert "fox-mlp" in results_page.ROWS
    assert all(name in results_page.REPRESENTATIONS for _, name in results_page.ROWS.values())


def test_one_command_runs_every_published_table_again_that_the_machine_can() -> None:
    pages = (*limits_page.RESULTS, *photographs_page.RESULTS)
    assert set(again.COMMANDS) == {*tables.TABLES, results_page.NAME, "conversion", *pages}
    assert again.chosen([], with_gpu=True) == list(again.COMMANDS)
    wanted = ["live", "viewer", "baking", "cpu_training", "corrections", "results_page", *pages]
    assert again.chosen([], with_gpu=False) == wanted
    with pytest.raises(SystemExit, match="wanted a GPU for training"):
        again.chosen(["training"], with_gpu=False)
    with pytest.raises(SystemExit, match="found speed"):
        again.chosen(["speed"], with_gpu=True)
