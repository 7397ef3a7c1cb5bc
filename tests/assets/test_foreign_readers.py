"""What we write, opened by programs that are not ours; they are installed from npm into a folder that is kept."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch

from scenekit.assets.meshes.files import write_mesh
from scenekit.assets.meshes.surface import Mesh
from scenekit.assets.splats import CODECS
from scenekit.assets.splats.codec import Coarser
from scenekit.assets.splats.files import read_splats, write_splats
from scenekit.core.cloud import PointCloud
from scenekit.data.ply import points_file
from scenekit.representations.gaussian_cloud import GaussianCloud
from tests.representations.gaussian_clouds import sample_cloud

PACKAGES = ("@playcanvas/splat-transform@2.7.1", "gltf-validator@2.0.0-dev.3.10")
EXTENSION = "KHR_gaussian_splatting"
TRANSFORM = "node_modules/@playcanvas/splat-transform/bin/cli.mjs"
VALIDATE = """
const fs = require('fs');
require('gltf-validator').validateBytes(new Uint8Array(fs.readFileSync(process.argv[1])), {maxIssues: 0})
  .then(report => process.stdout.write(JSON.stringify(report)));
"""


@pytest.fixture(scope="session")
def npm() -> Path:
    """A folder with the foreign readers in it; skips where npm is absent or cannot reach its registry."""
    if shutil.which("npm") is None or shutil.which("node") is None:
        pytest.skip("npm is not installed")
    folder = Path(tempfile.gettempdir()) / f"scenekit-npm-{os.getuid()}"
    if not (folder / "installed").exists():
        folder.mkdir(exist_ok=True)
        command = ["npm", "install", "--no-audit", "--no-fund", "--prefix", str(folder), *PACKAGES]
        try:
            done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=200)
        except subprocess.TimeoutExpired:
            pytest.skip("npm cannot reach its registry in time")
        if done.returncode:
            pytest.skip(f"npm cannot install the foreign readers: {done.stderr.strip().splitlines()[-1:]}")
        (folder / "installed").touch()
    return folder


def read_by_splat_transform(npm: Path, file: Path, target: Path) -> GaussianCloud:
    command = ["node", str(npm / TRANSFORM), "-w", str(file), str(target)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stdout + done.stderr
    return read_splats(target).cloud


@pytest.mark.parametrize(
    ("name", "steps"),
    [
        *((name, None) for name in ("ply", "compressed_ply", "spz", "sog", "splat")),
        *((name, Coarser(4, 2, 4, 3, 3, 2)) for name in ("spz", "sog")),
    ],
)
@pytest.mark.parametrize("degree", [0, 3])
def test_splat_transform_reads_what_we_read(
    npm: Path, name: str, degree: int, steps: Coarser | None, tmp_path: Path
) -> None:
    file = tmp_path / f"ours{CODECS[name].extensions[0]}"
    write_splats(file, sample_cloud(2000, degree), steps=(lambda codec, cloud: steps) if steps else None)
    ours, theirs = read_splats(file).cloud, read_by_splat_transform(npm, file, tmp_path / "theirs.ply")
    assert len(theirs) == len(ours) == 2000
    # It says the same in all that we read, not in number and bounds alone.
    torch.testing.assert_close(theirs.means, ours.means, atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(theirs.log_scales, ours.log_scales, atol=1e-5, rtol=0)
    torch.testing.assert_close(theirs.opacity_logits.sigmoid(), ours.opacity_logits.sigmoid(), atol=2e-3, rtol=0)
    torch.testing.assert_close(theirs.harmonics, ours.harmonics, atol=1e-5, rtol=0)
    unit = [torch.nn.functional.normalize(cloud.quaternions, dim=-1) for cloud in (theirs, ours)]
    assert ((unit[0] * unit[1]).sum(-1).abs() > (0.9999 if name != "splat" else 0.999)).all()


def validated(npm: Path, file: Path) -> dict:
    command = ["node", "-e", VALIDATE, str(file)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=npm, timeout=100)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("degree", [0, 3])
def test_the_khronos_validator_finds_no_fault_in_our_glb(npm: Path, degree: int, tmp_path: Path) -> None:
    file, cloud = tmp_path / "ours.glb", sample_cloud(300, degree)
    write_splats(file, cloud)
    report = validated(npm, file)
    # The extension is newer than the validator, which does not know the names of its attributes; nothing else is said.
    for message in report["issues"]["messages"]:
        unknown = message["code"] == "UNSUPPORTED_EXTENSION" and EXTENSION in message["message"]
        unnamed = message["code"] == "MESH_PRIMITIVE_INVALID_ATTRIBUTE" and f"{EXTENSION}:" in message["pointer"]
        assert unknown or unnamed, message
    assert report["info"]["totalVertexCount"] == 300


@pytest.mark.parametrize("extension", [".ply", ".glb"])
def test_trimesh_reads_the_same_points(extension: str, tmp_path: Path) -> None:
    trimesh = pytest.importorskip("trimesh")
    file, cloud = tmp_path / f"ours{extension}", sample_cloud(300, 1)
    write_splats(file, cloud)
    loaded = trimesh.load(file)
    points = next(iter(loaded.geometry.values())) if extension == ".glb" else loaded
    wanted = cloud.means if extension == ".ply" else cloud.means * torch.tensor([-1.0, -1.0, 1.0])
    torch.testing.assert_close(torch.from_numpy(points.vertices.copy()).float(), wanted)


def test_open3d_reads_the_same_gaussians(tmp_path: Path) -> None:
    open3d = pytest.importorskip("open3d")
    file, cloud = tmp_path / "ours.ply", sample_cloud(300, 1)
    write_splats(file, cloud)
    found = open3d.t.io.read_point_cloud(str(file)).point
    assert torch.equal(torch.from_numpy(found["positions"].numpy()), cloud.means)
    scales = [torch.from_numpy(found[f"scale_{axis}"].numpy())[:, 0] for axis in range(3)]
    assert torch.equal(torch.stack(scales, -1), cloud.log_scales)


def test_open3d_and_trimesh_read_the_same_points(tmp_path: Path) -> None:
    open3d, trimesh = pytest.importorskip("open3d"), pytest.importorskip("trimesh")
    generator = torch.Generator().manual_seed(0)
    places = torch.randn(50, 3, generator=generator, dtype=torch.float64) + 1e6  # far out, as maps are
    bytes_ = torch.randint(256, (50, 3), generator=generator)
    normals = torch.nn.functional.normalize(torch.randn(50, 3, generator=generator), dim=-1)
    file = tmp_path / "points.ply"
    file.write_bytes(points_file(PointCloud(places, bytes_ / 255, normals)))
    found = open3d.io.read_point_cloud(str(file))
    assert torch.equal(torch.tensor(np.asarray(found.points)), places)
    torch.testing.assert_close(torch.tensor(np.asarray(found.normals)).float(), normals)
    assert torch.equal((torch.tensor(np.asarray(found.colors)) * 255).round().long(), bytes_)
    loaded = trimesh.load(file)
    assert torch.equal(torch.tensor(np.asarray(loaded.vertices)), places)
    assert torch.equal(torch.tensor(np.asarray(loaded.colors))[:, :3].long(), bytes_)


def tetrahedron(look: str) -> Mesh:
    vertices = torch.tensor([[0.0, 0, 0], [2, 0, 0], [0, 3, 0], [0, 0, 5]], dtype=torch.float64)
    faces = torch.tensor([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]])
    if look == "texture":
        picture = torch.rand(8, 8, 3, generator=torch.Generator().manual_seed(0))
        return Mesh(vertices, faces, coordinates=vertices[:, :2] / 5, texture=picture)
    return Mesh(vertices, faces, vertices / 5 if look == "colors" else None)


@pytest.mark.parametrize(
    ("extension", "look"),
    [(".glb", "none"), (".glb", "colors"), (".glb", "texture"), (".obj", "colors"), (".obj", "texture"),
     (".ply", "none"), (".ply", "colors")],
)  # fmt: skip
def test_open3d_reads_the_same_mesh(extension: str, look: str, tmp_path: Path) -> None:
    open3d = pytest.importorskip("open3d")
    file, mesh = tmp_path / f"ours{extension}", tetrahedron(look)
    write_mesh(file, mesh)
    found = open3d.io.read_triangle_mesh(str(file))
    assert len(found.triangles) == 4
    assert torch.tensor(np.asarray(found.get_min_bound())).tolist() == [0, 0, 0]
    assert torch.tensor(np.asarray(found.get_max_bound())).tolist() == [2, 3, 5]
    if look == "colors" and extension != ".obj":
        assert found.has_vertex_colors()
    if look == "texture":
        assert found.has_triangle_uvs()


@pytest.mark.parametrize("look", ["none", "colors", "texture"])
def test_the_khronos_validator_finds_no_fault_in_our_meshes(npm: Path, look: str, tmp_path: Path) -> None:
    file = tmp_path / "ours.glb"
    write_mesh(file, tetrahedron(look))
    report = validated(npm, file)
    assert [message for message in report["issues"]["messages"] if message["severity"] < 2] == []
    assert report["info"]["totalVertexCount"] == 4
    assert report["info"]["totalTriangleCount"] == 4
