"""Presets are saved flags; what is wrong with one is a sentence."""

from pathlib import Path

import pytest

from scenekit.cli.options import preset_arguments
from scenekit.core.checks import BadInput


def written(folder: Path, text: str) -> str:
    file = folder / "own.toml"
    file.write_text(text)
    return str(file)


def test_the_general_part_comes_before_the_representations_own_table(tmp_path: Path) -> None:
    preset = written(tmp_path, "minutes = 2\nkeep-lens = true\n[gaussians]\nminutes = 3\n[hash_grid]\nlevels = 4\n")
    assert preset_arguments(preset, "hash_grid") == ["--minutes", "2", "--keep-lens", "--levels", "4"]
    assert preset_arguments(preset, "gaussians", ("minutes",)) == ["--minutes", "2", "--minutes", "3"]
    assert preset_arguments(preset, "mlp", ()) == []
    assert preset_arguments(None, "mlp") == []


def test_what_is_for_conversions_alone_comes_last_there_and_never_in_training(tmp_path: Path) -> None:
    preset = written(tmp_path, "minutes = 2\n[mlp]\nwidth = 64\n[convert.mlp]\nbright = 0\n[convert.rbf]\nviews = 8\n")
    assert preset_arguments(preset, "mlp") == ["--minutes", "2", "--width", "64"]
    assert preset_arguments(preset, "mlp", ()) == ["--width", "64", "--bright", "0"]
    assert preset_arguments(preset, "hash_grid", ("minutes",)) == ["--minutes", "2"]


def test_groups_of_flags_may_be_tables_or_names_with_dots(tmp_path: Path) -> None:
    tables = written(tmp_path, "marching.steps = 8\n[hash_grid]\nnetworks.width = 16\nmarching.own = false\n")
    wanted = ["--marching.steps", "8", "--networks.width", "16", "--marching.no-own"]
    assert preset_arguments(tables, "hash_grid") == wanted
    dots = written(tmp_path, '"marching.steps" = 8\n[hash_grid]\n"networks.width" = 16\n"marching.own" = false\n')
    assert preset_arguments(dots, "hash_grid") == wanted


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("gaussians = 3", r"own.toml: gaussians: wanted a table of flags, \[gaussians\], found 3"),
        ("[gaussians]\nsizes = [1, 2]", "own.toml: sizes: wanted one value, found a list of 2; leave it out and give"),
        ("convert = true", r"own.toml: convert: wanted a table of flags, \[convert\], found True"),
        (
            "[convert]\ngaussians = 1",
            r"own.toml: convert.gaussians: wanted a table of flags, \[convert.gaussians\], found 1",
        ),
        ("minutes = ", "own.toml: wanted a preset in TOML, found Invalid value"),
    ],
)
def test_what_is_no_preset_is_refused(text: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=words):
        preset_arguments(written(tmp_path, text), "gaussians", ())


@pytest.mark.bad_input
def test_what_cannot_be_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "folder.toml").mkdir()
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe\x00")
    for name, words in (
        ("folder", "found Is a directory"),
        ("bytes", "found 'utf-8' codec"),
        ("none", "a preset among"),
    ):
        with pytest.raises(BadInput, match=words):
            preset_arguments(str(tmp_path / f"{name}.toml"), "gaussians")
