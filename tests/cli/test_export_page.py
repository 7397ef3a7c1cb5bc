import json
from pathlib import Path

import pytest
import torch

from scenekit.assets.meshes import Mesh
from scenekit.assets.meshes.files import write_mesh
from scenekit.assets.splats.files import write_splats
from scenekit.cli import main
from scenekit.core.cloud import PointCloud
from scenekit.data.ply import points_file
from tests.cli.test_commands import train
from tests.representations.gaussian_clouds import sample_cloud

COARSE = ["--bake.resolution", "32", "--bake.planes", "32", "--bake.steps", "3", "--bake.rays", "128",
          "--bake.march-steps", "64"]  # fmt: skip


def nodes(page: Path) -> dict[str, str]:
    manifest = json.loads((page / "scene.json").read_text())
    return {node["name"]: node["kind"] for node in manifest["nodes"]}


def test_splats_become_a_single_file_or_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_splats(tmp_path / "a.ply", sample_cloud(40, 1))
    assert main(["export", str(tmp_path / "a.ply"), str(tmp_path / "page.html"), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["bytes"] == (tmp_path / "page.html").stat().st_size
    assert main(["export", str(tmp_path / "a.ply"), str(tmp_path / "page")]) == 0
    assert nodes(tmp_path / "page") == {"scene": "splats", "photographs": "lines"}


@pytest.mark.bad_input
@pytest.mark.parametrize("command", ["info", "view", "train", "convert", "evaluate", "export"])
def test_a_page_is_no_scene_to_go_on_from(command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_splats(tmp_path / "a.ply", sample_cloud(40, 1))
    assert main(["export", str(tmp_path / "a.ply"), str(tmp_path / "page.html")]) == 0
    assert main(["export", str(tmp_path / "a.ply"), str(tmp_path / "page")]) == 0
    rest = [str(tmp_path / "b.ply")] if command == "export" else []
    served = "python -m http.server -d"
    for name, remedy in (("page.html", "open it in one"), ("page", served), ("page/index.html", served)):
        capsys.readouterr()
        assert main([command, str(tmp_path / name), *rest]) == 2
        said = capsys.readouterr().err
        assert f"{name}: wanted a run, a splat file or a capture, found a page for browsers; " in said
        assert remedy in said
        assert said.count("\n") == 1


def test_a_field_is_baked_on_the_way(tmp_path: Path) -> None:
    assert train(tmp_path / "run", "--steps", "30") == 0
    assert main(["export", str(tmp_path / "run"), str(tmp_path / "page"), *COARSE]) == 0
    assert nodes(tmp_path / "page") == {"scene": "volume", "photographs": "lines"}


def test_other_scenes_points_and_meshes_stand_beside_a_scene(tmp_path: Path) -> None:
    assert train(tmp_path / "run", "--steps", "30") == 0
    write_splats(tmp_path / "a.ply", sample_cloud(40, 1))
    (tmp_path / "more").mkdir()
    write_splats(tmp_path / "more" / "a.ply", sample_cloud(30, 0))
    (tmp_path / "cloud.ply").write_bytes(points_file(PointCloud(torch.rand(9, 3).double(), torch.rand(9, 3))))
    write_mesh(tmp_path / "box.obj", Mesh(torch.rand(3, 3).double(), torch.tensor([[0, 1, 2]])))
    files = [str(tmp_path / name) for name in ("run", "more/a.ply", "cloud.ply", "box.obj")]
    assert main(["export", str(tmp_path / "a.ply"), str(tmp_path / "page"), "--beside", *files, *COARSE]) == 0
    assert nodes(tmp_path / "page") == {
        "a": "splats", "run": "volume", "a.ply": "splats", "photographs": "lines", "cloud": "points", "box": "mesh"
    }  # fmt: skip


@pytest.mark.bad_input
def test_what_a_page_cannot_be_is_said_before_anything_is_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_splats(tmp_path / "a.ply", sample_cloud(4, 0))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    for target, options, sentence in (
        ("page.html", ["--up", "z"], "leave it out"),
        ("page.html", ["--verify"], "wanted a file of splats"),
        ("mine", [], "wanted a new folder"),
        ("b.ply", ["--beside", "c.ply"], "--beside: wanted a page"),
        ("page.html", ["--beside", "c.ply"], "c.ply"),
    ):
        assert main(["export", str(tmp_path / "a.ply"), str(tmp_path / target), *options]) == 2
        assert sentence in capsys.readouterr().err.replace("\n", " ")
    assert [file.name for file in (tmp_path / "mine").iterdir()] == ["notes.txt"]
    assert not (tmp_path / "page.html").exists()


@pytest.mark.bad_input
@pytest.mark.parametrize("flag", ["--verify", "--allow-loss=1", "--up=z", "--scale=2", "--against=a.ply"])
def test_what_means_nothing_for_a_page_is_said_before_a_field_is_baked(
    flag: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scenekit.cli.export.open_source", lambda path: pytest.fail(f"{path} was read"))
    assert main(["export", str(tmp_path / "run"), str(tmp_path / "page.html"), flag]) == 2
    assert capsys.readouterr().err.startswith(f"{flag.partition('=')[0]}: wanted a ")
