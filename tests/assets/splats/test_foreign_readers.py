"""What we write, opened by programs that are not ours; they are installed from npm into a folder that is kept."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest
import torch

from scenekit.assets.splats import CODECS
from scenekit.assets.splats.files import read_splats, write_splats
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


@pytest.mark.parametrize("name", ["ply", "compressed_ply", "spz", "sog", "splat"])
@pytest.mark.parametrize("degree", [0, 3])
def test_splat_transform_reads_what_we_read(npm: Path, name: str, degree: int, tmp_path: Path) -> None:
    file = tmp_path / f"ours{CODECS[name].extensions[0]}"
    write_splats(file, sample_cloud(2000, degree))
    ours, theirs = read_splats(file).cloud, read_by_splat_transform(npm, file, tmp_path / "theirs.ply")
    assert len(theirs) == len(ours) == 2000
    # It says the same in all that we read, not in number and bounds alone.
    torch.testing.assert_close(theirs.means, ours.means, atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(theirs.log_scales, ours.log_scales, atol=1e-5, rtol=0)
    torch.testing.assert_close(theirs.opacity_logits.sigmoid(), ours.opacity_logits.sigmoid(), atol=2e-3, rtol=0)
    torch.testing.assert_close(theirs.harmonics, ours.harmonics, atol=1e-5, rtol=0)
    unit = [torch.nn.functional.normalize(cloud.quaternions, dim=-1) for cloud in (theirs, ours)]
    assert ((unit[0] * unit[1]).sum(-1).abs() > (0.9999 if name != "splat" else 0.999)).all()


@pytest.mark.parametrize("degree", [0, 3])
def test_the_khronos_validator_finds_no_fault_in_our_glb(npm: Path, degree: int, tmp_path: Path) -> None:
    file, cloud = tmp_path / "ours.glb", sample_cloud(300, degree)
    write_splats(file, cloud)
    command = ["node", "-e", VALIDATE, str(file)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=npm, timeout=100)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
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
