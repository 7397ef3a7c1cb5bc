"""What the documentation tells people to type works."""

import importlib.util
import inspect
import re
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest

import scenekit.live
from scenekit.assets.splats.files import read_splats
from scenekit.cli import COMMANDS, main
from scenekit.recipes import configs
from scenekit.representations import REPRESENTATIONS

ROOT = Path(__file__).parent.parent.parent
CONTRACTS = ("protocols", "capabilities", "point_fields")
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(page: Path, language: str = "") -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE)


def test_the_worked_representation_trains_as_it_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "voxels.py"
    file.write_text(blocks(ROOT / "docs" / "adding-a-representation.md", "python")[0])
    spec = importlib.util.spec_from_file_location("voxels", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "voxels", module)
    spec.loader.exec_module(module)
    monkeypatch.setitem(REPRESENTATIONS, "voxels", module.Voxels)
    small = ["--resolution", "16", "--batch-samples", "8192", "--marching.steps", "64", "--marching.grid", "16"]
    run = tmp_path / "run"
    arguments = ["train", "synthetic", "-r", "voxels", "--downscale", "4", "--steps", "20", "-o", str(run), *small]
    assert main(arguments) == 0
    assert configs.to_plain(module.Voxels())["resolution"] > 0
    assert main(["evaluate", str(run), "--json"]) == 0
    assert '"psnr"' in capsys.readouterr().out


@pytest.mark.parametrize(
    "text", [blocks(ROOT / "README.md", "python")[0], inspect.getdoc(scenekit)], ids=["README", "help"]
)
def test_the_lines_of_python_do_what_they_say(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    lines = [line.strip() for line in text.splitlines() if re.search(r"\bsk\b|capture", line)]
    small = "\n".join(lines).replace('"fox", downscale=4', '"synthetic", downscale=8')
    small = re.sub(r"(minutes|steps)=\d+", "steps=2", small)
    shown: list[object] = []
    monkeypatch.setattr(scenekit.live, "view", shown.append)
    names: dict[str, Any] = {}
    exec(small, names)
    assert names["picture"].ndim == 4
    assert shown == [names["scene"]]
    assert [len(read_splats(file).cloud) > 0 for file in tmp_path.iterdir()] == [True]


def test_the_worked_diffs_fit_the_files_as_they_are() -> None:
    diffs = blocks(ROOT / "docs" / "adding-a-representation.md", "diff")
    assert diffs
    for diff in diffs:
        file = re.search(r"^\+\+\+ b/(.*)", diff, re.MULTILINE)
        assert file is not None
        text = (ROOT / file[1]).read_text()
        for hunk in diff.split("@@\n")[1:]:
            before = "".join(f"{line[1:]}\n" for line in hunk.splitlines() if not line.startswith("+"))
            assert before in text, f"{file[1]} has no lines\n{before}"


def test_the_worked_page_names_protocols_and_methods_that_exist() -> None:
    text = (ROOT / "docs" / "adding-a-representation.md").read_text()
    homes = [(ROOT / "scenekit" / "core" / f"{name}.py").read_text() for name in CONTRACTS]
    rows = re.findall(r"^\| `(\w+)` \| (.*?) \|", text, re.MULTILINE)
    assert len(rows) > 3
    for protocol, methods in rows:
        home = next(home for home in homes if f"class {protocol}(Protocol)" in home)
        body = home.partition(f"class {protocol}(Protocol)")[2]
        assert all(f"def {method}(" in body for method in re.findall(r"`(\w+)\(", methods)), protocol


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_on_a_page_are_commands(page: Path) -> None:
    for block in blocks(page):
        for line in block.splitlines():
            if line.startswith("scenekit "):
                words = shlex.split(line.partition("  #")[0])
                assert words[1] in COMMANDS, line


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_and_pictures_of_a_page_are_there(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), target
