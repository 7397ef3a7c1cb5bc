"""Points on surfaces, and what is said of files of points and meshes."""

import json
from pathlib import Path

import pytest
import torch

from scenekit.assets.meshes import Meshing
from scenekit.assets.meshes.files import write_mesh
from scenekit.assets.meshes.fusion import Box
from scenekit.assets.meshes.points import export_points, surface_cloud
from scenekit.assets.meshes.surface import Mesh
from scenekit.assets.splats.files import write_splats
from scenekit.cli import main
from scenekit.core.checks import BadInput
from scenekit.core.cloud import PointCloud
from scenekit.core.transforms import Similarity
from scenekit.data.ply import points_file, read_points
from scenekit.renderers.scene import Scene
from tests.assets.meshes.balls import CENTRE, RADIUS, SCALE, color_of, exact_ball, field_ball
from tests.representations.gaussian_clouds import sample_cloud

OPTIONS = Meshing(resolution=24, views=24, size=128)
BALL = RADIUS / SCALE  # in world


def test_points_lie_on_the_surface_one_in_a_cell_with_its_normal_and_colour() -> None:
    scene = exact_ball()
    cloud = surface_cloud(scene, OPTIONS)
    offsets = cloud.positions - CENTRE
    cell = 2.2 * BALL / OPTIONS.resolution
    assert (offsets.norm(dim=-1) - BALL).abs().max() < 0.1 * cell
    # A sphere through a grid of cells: about 1.5 cells for each one's area.
    assert 1.0 < len(cloud) / (4 * torch.pi * BALL**2 / cell**2) < 2.0
    outwards = torch.nn.functional.normalize(offsets, dim=-1)
    assert cloud.normals is not None
    assert (cloud.normals * outwards).sum(-1).min() > 0.95
    inside = outwards @ scene.scene_from_world.rotation.T
    assert (cloud.colors - color_of(inside)).abs().max() < 0.1


@pytest.mark.parametrize("scene", [exact_ball(), field_ball(24)], ids=["exact", "field"])
def test_a_file_of_points_holds_them_in_its_own_frame(scene: Scene, tmp_path: Path) -> None:
    file, frame = tmp_path / "a.ply", Similarity.of(2.0, torch.tensor([1.0, 0.0, 0.0], dtype=torch.float64))
    facts = export_points(scene, file, OPTIONS, file_from_world=frame)
    found, wanted = read_points(file), surface_cloud(scene, OPTIONS).moved(frame)
    assert len(found) == facts["points"] == len(wanted) > 100
    assert torch.equal(found.positions, wanted.positions)
    assert (found.colors - wanted.colors).abs().max() <= 0.5 / 255 + 1e-6


def test_the_command_line_writes_points_of_splats_and_describes_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cloud = sample_cloud(400, 0)
    cloud.opacity_logits.fill_(5.0)
    cloud.log_scales.fill_(-1.5)
    write_splats(tmp_path / "a.ply", cloud)
    look = ["--views", "12", "--size", "64", "--resolution", "16"]
    target = tmp_path / "points.ply"
    words = ["export", str(tmp_path / "a.ply"), "--crop", "sphere:0,0,0,1.5", str(target), "--as", "points", *look]
    assert main([*words, "--json"]) == 0
    written = json.loads(capsys.readouterr().out)
    assert main(["info", str(target), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["format"] == written["format"] == "PLY points"
    assert facts["points"] == written["points"] > 50
    assert max(map(abs, facts["lowest"] + facts["highest"])) < 2.5


@pytest.mark.parametrize("extension", [".glb", ".ply", ".obj"])
def test_a_mesh_is_described(extension: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("trimesh")
    vertices = torch.tensor([[0.0, 0, 0], [2, 0, 0], [0, 3, 0], [0, 0, 5]], dtype=torch.float64)
    faces = torch.tensor([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]])
    file = tmp_path / f"a{extension}"
    write_mesh(file, Mesh(vertices, faces, vertices / 5))
    assert main(["info", str(file), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["format"] == f"mesh, {extension[1:].upper()}"
    assert (facts["vertices"], facts["triangles"], facts["watertight"]) == (4, 4, True)
    assert (facts["lowest"], facts["highest"]) == ([0, 0, 0], [2, 3, 5])
    assert facts["colours"] == "at vertices"


@pytest.mark.parametrize("extension", [".glb", ".ply", ".compressed.ply"])
def test_gaussians_of_the_same_names_are_no_mesh(
    extension: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / f"a{extension}"
    write_splats(file, sample_cloud(20, 0))
    assert main(["info", str(file), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["gaussians"] == 20


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["b.obj", "--as", "points"], "wanted a file ending in .ply for points"),
        (["b.compressed.ply", "--as", "points"], "wanted a file ending in .ply for points"),
        (["b.ply", "--as", "points", "--verify"], "--verify: wanted a file of splats, found points"),
        (["b.ply", "--as", "points", "--against", "a.ply"], "--against: wanted a mesh, found points"),
    ],
)
def test_points_go_to_a_ply_and_are_not_verified(
    words: list[str], sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_splats(tmp_path / "a.ply", sample_cloud(20, 0))
    target, *rest = words
    assert main(["export", str(tmp_path / "a.ply"), str(tmp_path / target), *rest]) == 2
    assert sentence in capsys.readouterr().err
    assert [file.name for file in tmp_path.iterdir()] == ["a.ply"]


def test_a_file_of_no_points_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.ply").write_bytes(points_file(PointCloud(torch.zeros(0, 3), torch.zeros(0, 3))))
    assert main(["info", str(tmp_path / "a.ply"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["points"] == 0


@pytest.mark.bad_input
@pytest.mark.parametrize("name", ["a.ply", "a.glb", "a.obj"])
@pytest.mark.parametrize("data", [b"", b"glTF" + b"\xff" * 40, b"ply\n", b"f 1 2 3\n"])
def test_files_that_hold_nothing_are_one_sentence(
    name: str, data: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / name).write_bytes(data)
    assert main(["info", str(tmp_path / name)]) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1


@pytest.mark.bad_input
def test_a_scene_without_surfaces_has_no_points() -> None:
    with pytest.raises(BadInput, match="wanted a scene with surfaces in view"):
        surface_cloud(exact_ball(), OPTIONS, box=Box(CENTRE + 9, CENTRE + 10))
