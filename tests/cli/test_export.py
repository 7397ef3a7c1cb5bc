import json
from pathlib import Path

import pytest
import torch

from scenekit.assets.splats.files import read_splats, write_splats
from scenekit.cli import main
from scenekit.recipes import load
from tests.representations.gaussian_clouds import assert_same_bits, sample_cloud


def figures(capsys: pytest.CaptureFixture[str]) -> dict:
    return json.loads(capsys.readouterr().out)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    write_splats(tmp_path / "a.ply", sample_cloud(120, 1))
    return tmp_path / "a.ply"


def test_a_file_becomes_a_run_that_is_described_rendered_and_exported(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    assert main(["import", str(file), "-o", str(run), "--up", "z"]) == 0
    assert main(["info", str(run), "--json"]) == 0
    facts = figures(capsys)
    assert facts["representation"] == "gaussians"
    assert facts["capture"] == str(file)

    frames = tmp_path / "frames"
    for source in (run, file):
        folder = frames / source.stem
        assert main(["render", str(source), "--frames", "1", "--size", "32x24", "-o", str(folder)]) == 0
        assert len(list(folder.glob("*.png"))) == 1

    capsys.readouterr()
    assert main(["export", str(run), str(tmp_path / "b.ply"), "--json"]) == 0
    assert figures(capsys)["gaussians"] == 120
    cloud, again = sample_cloud(120, 1), read_splats(tmp_path / "b.ply").cloud
    torch.testing.assert_close(again.means, cloud.means, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(again.log_scales, cloud.log_scales, atol=1e-5, rtol=1e-5)
    assert torch.equal(again.harmonics, cloud.harmonics)


def test_a_file_becomes_another_bit_for_bit_and_says_what_was_lost(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scenekit.recipes.imported.SIZE", (80, 60))
    assert main(["export", str(file), str(tmp_path / "b.ply"), "--verify", "--json"]) == 0
    exact = figures(capsys)
    assert exact["psnr_lost"] == 0
    assert exact["psnr_between"] is None
    assert_same_bits(read_splats(tmp_path / "b.ply").cloud, sample_cloud(120, 1))

    assert main(["export", str(file), str(tmp_path / "b.spz"), "--verify", "--json"]) == 0
    lossy = figures(capsys)
    assert 0 < lossy["psnr_lost"] < 0.5
    assert lossy["psnr_lost_by_part"]["harmonics"] > 0
    assert "12 of 24 cameras" in lossy["scope"]

    assert main(["export", str(file), str(tmp_path / "b.spz"), "--verify"]) == 0
    assert "lost in all" in capsys.readouterr().out

    assert main(["info", str(tmp_path / "b.spz"), "--json"]) == 0
    assert figures(capsys)["format"] == "SPZ"


def test_an_edit_that_leaves_some_out_says_how_many_there_were(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = str(tmp_path / "b.splat")
    assert main(["export", str(file), "--budget", "100", target, "--json"]) == 0
    facts = figures(capsys)
    assert (facts["gaussians"], facts["gaussians_before_edits"]) == (100, 120)
    assert main(["export", str(file), target, "--json"]) == 0
    assert "gaussians_before_edits" not in figures(capsys)


def test_scale_and_up_are_applied(file: Path, tmp_path: Path) -> None:
    assert main(["export", str(file), str(tmp_path / "b.ply"), "--scale", "2", "--up", "z"]) == 0
    before, after = read_splats(file).cloud, read_splats(tmp_path / "b.ply").cloud
    x, y, z = before.means.unbind(-1)  # up was -y
    torch.testing.assert_close(after.means, torch.stack([x, z, -y], -1) * 2)


def test_cameras_stand_around_what_is_solid_and_see_it(tmp_path: Path) -> None:
    cloud = sample_cloud(200)
    cloud.means[0] = torch.tensor([1e4, 0, 0])  # a floater far away
    write_splats(tmp_path / "a.ply", cloud)
    scene = load(tmp_path / "a.ply")
    assert 0.1 < scene.scene_from_world.scale < 1
    picture = scene.render(scene.cameras[0])
    assert picture.opacity.mean() > 0.04
    up = -scene.cameras.world_from_camera[:, :, 1].mean(0)
    assert up[1] < -0.5


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["export", "a.ply", "b.gif"], "wanted a name that ends in"),
        (["export", "a.ply", "b.ksplat"], "wanted a name that ends in"),
        (["export", "a.ply", "a.ply"], "found the same"),
        (["export", "a.ply", "b.ply", "--scale", "0"], "--scale: wanted a positive number"),
        (["export", "a.ply", "b.ply", "--up", "w"], "--up"),
        (["export", "a.ply", "b.ply", "--against", "a.ply"], "--against: wanted a mesh, found splats"),
        (["export", "a.ply", "--prune", "opacity:0.1", "b.ply", "--against", "a.ply"], "--against: wanted a mesh"),
        (["export", "a.ply", "b.obj", "--beside", "a.ply"], "--beside: wanted a page"),
        (["export", "absent", "b.ply"], "wanted a run folder"),
        (["import", "absent.ply", "-o", "run"], "No such file"),
        (["import", "a.ply", "-o", "."], "wanted a new folder"),
        (["info", "broken.spz"], "found a damaged one"),
    ],
)
def test_wrong_usage_is_one_sentence_and_nothing_is_written(
    arguments: list[str],
    words: str,
    file: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "broken.spz").write_bytes(b"\x1f\x8bxxxx")
    monkeypatch.chdir(tmp_path)
    before = file.read_bytes()
    assert main(arguments) == 2
    said = capsys.readouterr().err
    assert words in said
    assert len(said.strip().splitlines()) == 1
    assert sorted(f.name for f in tmp_path.iterdir()) == ["a.ply", "broken.spz"]
    assert file.read_bytes() == before
