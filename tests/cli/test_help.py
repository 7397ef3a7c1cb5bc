"""``--help`` of every command: a screen, with an example that means what it says."""

import math
import re
import tomllib

import pytest

from scenekit.cli import COMMANDS, main
from scenekit.cli.examples import EXAMPLES
from scenekit.cli.options import EVERYTHING

COLUMNS, LINES = 80, 40  # of a screen


def help_of(command: str, capsys: pytest.CaptureFixture[str], flag: str = "--help") -> str:
    with pytest.raises(SystemExit) as left:
        main([command, flag])
    assert left.value.code == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("command", COMMANDS)
def test_help_fits_a_screen_and_has_an_example(
    command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(COLUMNS))
    text = help_of(command, capsys)
    assert sum(max(1, math.ceil(len(line) / COLUMNS)) for line in text.splitlines()) <= LINES
    for nothing in ("None", "default: False", "default: True", "default: )", "default: ''"):
        assert nothing not in text
    assert f"Example: {EXAMPLES[command]}" in text
    assert not re.search(r"\b(PATH|STR)$", text.splitlines()[0]), "what is given by place has a name"


@pytest.mark.parametrize("command", ["train", "convert", "fit", "export"])
def test_the_rarer_options_are_one_flag_away(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    few, all_of_them = help_of(command, capsys), help_of(command, capsys, EVERYTHING)
    assert EVERYTHING in few
    assert len(all_of_them.splitlines()) > len(few.splitlines())


def test_help_of_a_representation_lists_its_own_options(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["train", "-r", "triplane", EVERYTHING])
    assert "--combination" in capsys.readouterr().out


def test_examples_are_commands_and_name_presets_that_are_there() -> None:
    from scenekit import resources

    assert EXAMPLES.keys() == COMMANDS.keys()
    for command, example in EXAMPLES.items():
        assert example.split()[:2] == ["scenekit", command]
    preset = EXAMPLES["train"].split("--preset ")[1].split()[0]
    assert tomllib.loads((resources.path("configs") / f"{preset}.toml").read_text())
