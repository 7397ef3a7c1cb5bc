"""The house rules that no linter checks."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
CODE = sorted(
    file
    for folder in ("scenekit", "cuda", "tests", "benchmarks")
    for file in (ROOT / folder).rglob("*")
    if file.suffix in {".py", ".h", ".cu", ".cpp"} and "_native" not in file.parts
)


@pytest.mark.parametrize("file", CODE, ids=lambda file: str(file.relative_to(ROOT)))
def test_no_file_is_longer_than_400_lines_and_no_function_than_60(file: Path) -> None:
    text = file.read_text()
    assert len(text.splitlines()) <= 400
    if file.suffix != ".py":
        return
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            assert node.end_lineno - node.lineno < 60, f"{node.name} in {file}"


def test_no_file_has_a_name_that_says_nothing() -> None:
    names = {file.stem for file in CODE}
    assert not names & {"utils", "util", "helpers", "misc", "common", "legacy", "old"}
    assert not [name for name in names if re.search(r"_v\d$", name)]


def test_importing_the_package_loads_no_heavy_library() -> None:
    script = (
        "import sys, scenekit;"
        "print([m for m in ('pycolmap', 'viser', 'imageio', 'tyro', 'rich', 'torch._dynamo') if m in sys.modules])"
    )
    output = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT)
    assert output.stdout.strip() == "[]"


def test_every_public_name_can_be_imported() -> None:
    import scenekit

    for name in scenekit.__all__:
        assert getattr(scenekit, name) is not None


def test_every_preset_names_flags_that_exist() -> None:
    import tomllib

    from scenekit.cli import convert, train
    from scenekit.cli.options import parse, preset_arguments
    from scenekit.representations import REPRESENTATIONS

    presets = sorted((ROOT / "configs").glob("*.toml"))
    assert presets
    for preset in presets:
        values = tomllib.loads(preset.read_text())
        tables = {key for key, value in (values | values.pop("convert", {})).items() if isinstance(value, dict)}
        assert tables <= set(REPRESENTATIONS)
        for name in REPRESENTATIONS:
            parse(train.options_type(name), "train", preset_arguments(preset.stem, name))
            parse(convert.options_type(name), "convert", preset_arguments(preset.stem, name, convert.GENERAL_KEYS))
