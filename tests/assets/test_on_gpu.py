"""What is made of scenes on a pretended GPU: files, pages and meshes; the scenes stay where they are."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from scenekit.assets.edits import edited, read_edits
from scenekit.assets.exporters import Source, export
from scenekit.assets.meshes import Meshing, mesh
from scenekit.assets.run import read_scene, write_scene
from scenekit.core.protocols import EVAL
from scenekit.renderers.background import LearnedBackground
from scenekit.renderers.contributions import contributions
from tests.assets.meshes.balls import field_ball
from tests.assets.splat_scenes import sample_scene


@pytest.mark.parametrize(
    "file", ["a.ply", "a.compressed.ply", "a.spz", "a.sog", "a.splat", "a.glb", "a.sogc", "a.html"]
)
def test_splats_leave_as_they_do_from_main_memory(file: str, pretended_gpu: torch.device, tmp_path: Path) -> None:
    scene = sample_scene()
    here, there = tmp_path / "here" / file, tmp_path / "there" / file
    for target in (here, there):
        target.parent.mkdir()
        scene.background = LearnedBackground((0.2, 0.4, 0.6)).to(scene.device)
        facts = export(scene, target, verify=not file.endswith(".html"))
        scene.to(pretended_gpu)
    assert scene.device == pretended_gpu
    assert facts.get("psnr_lost", 0.0) < 4
    assert here.read_bytes() == there.read_bytes()


def test_edits_leave_a_scene_where_it_is(pretended_gpu: torch.device) -> None:
    scene = sample_scene().to(pretended_gpu)
    edits, _ = read_edits(["--budget", "40", "--rotate", "z,90"])
    made = edited(Source(scene), edits).scene
    assert made.device == pretended_gpu
    assert made.render(made.cameras[[0]]).color.device == pretended_gpu


def test_contributions_are_summed_there(pretended_gpu: torch.device) -> None:
    scene = sample_scene()
    cameras = scene.cameras_in_scene(scene.cameras)
    here = contributions(scene.renderer.primitives.splats(cameras, EVAL), cameras)  # type: ignore[attr-defined]
    scene.to(pretended_gpu)
    there = contributions(scene.renderer.primitives.splats(cameras, EVAL), cameras)  # type: ignore[attr-defined]
    assert there.device == pretended_gpu
    assert torch.allclose(there.cpu(), here, atol=1e-4)


@pytest.mark.parametrize("method", ["tsdf", "density", "poisson"])
def test_a_mesh_is_made_of_a_field_there(method: str, pretended_gpu: torch.device) -> None:
    made = mesh(field_ball(24).to(pretended_gpu), Meshing(method=method, resolution=16, views=8, size=32))  # type: ignore[arg-type]
    assert len(made) > 50


def test_a_run_holds_what_was_there(pretended_gpu: torch.device, tmp_path: Path) -> None:
    scene = sample_scene()
    before = {name: tensor.clone() for name, tensor in scene.renderer.state_dict().items()}
    write_scene(tmp_path, scene.to(pretended_gpu))
    found, _, _ = read_scene(tmp_path)
    assert all(torch.equal(found[name], tensor) for name, tensor in before.items())
