import json
import math
from pathlib import Path

import pytest
import torch

from scenekit.assets.meshes.files import read_mesh, write_mesh
from scenekit.assets.meshes.surface import Mesh
from scenekit.assets.splats.files import write_splats
from scenekit.cli import main
from scenekit.representations.gaussian_cloud import GaussianCloud

trimesh = pytest.importorskip("trimesh", reason="meshes need the extra: pip install 'scenekit[mesh]'")
LOOK = ["--views", "24", "--size", "128", "--resolution", "32"]


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Opaque round Gaussians on the unit ball: splats without photographs."""
    index = torch.arange(3000) + 0.5
    z, angle = 1 - 2 * index / 3000, math.pi * (1 + math.sqrt(5)) * index
    means = torch.stack([(1 - z * z).sqrt() * angle.cos(), (1 - z * z).sqrt() * angle.sin(), z], -1)
    turns = torch.tensor([[1.0, 0, 0, 0]]).repeat(3000, 1)
    cloud = GaussianCloud(means, torch.full((3000, 3), -3.4), turns, torch.full((3000,), 6.0), means[:, None].clone())
    target = tmp_path_factory.mktemp("splats") / "ball.ply"
    write_splats(target, cloud)
    return target


def _truth(path: Path, radius: float = 1.0) -> Path:
    ball = trimesh.creation.icosphere(4, radius)
    write_mesh(path, Mesh(torch.from_numpy(ball.vertices), torch.from_numpy(ball.faces).long()))
    return path


def test_splats_without_photographs_become_a_closed_mesh(
    tmp_path: Path, file: Path, capsys: pytest.CaptureFixture[str]
):
    target, truth = tmp_path / "ball.glb", _truth(tmp_path / "truth.ply", 1.04)  # half a Gaussian farther out
    words = ["--as", "mesh", "--watertight", "--against", str(truth), "--json", *LOOK]
    assert main(["export", str(file), str(target), *words]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["watertight"]
    assert facts["f_score"] > 0.75  # within 0.02, a third of a cell
    assert facts["chamfer"] < 0.02
    assert read_mesh(target).colors is not None


def test_edits_come_before_the_mesh(tmp_path: Path, file: Path):
    target = tmp_path / "ball.obj"
    assert main(["export", str(file), "--translate", "0,0,3", "--resize", "2", str(target), *LOOK]) == 0
    low, high = read_mesh(target).vertices.aminmax(dim=0)
    torch.testing.assert_close(low, torch.tensor([-2.0, -2, 4]).double(), atol=0.25, rtol=0)
    torch.testing.assert_close(high, torch.tensor([2.0, 2, 8]).double(), atol=0.25, rtol=0)


@pytest.mark.bad_input
def test_a_mesh_cannot_be_verified_like_splats(tmp_path: Path, file: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["export", str(file), str(tmp_path / "ball.obj"), "--verify", *LOOK]) == 2
    assert "--against" in capsys.readouterr().err
