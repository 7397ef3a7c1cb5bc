import dataclasses
from pathlib import Path

import pytest
import torch

from scenekit.assets.meshes import Meshing, mesh
from scenekit.assets.meshes.appearance import ray_scene
from scenekit.assets.meshes.charts import charted
from scenekit.assets.meshes.compare import compare
from scenekit.assets.meshes.extract import make
from scenekit.assets.meshes.files import describe_mesh, read_mesh, write_mesh
from scenekit.assets.meshes.surface import Mesh, texture_colors
from scenekit.core.checks import BadInput

from .balls import CENTRE, RADIUS, SCALE, color_of, exact_ball

open3d = pytest.importorskip("open3d", reason="meshes need the extra: pip install 'scenekit[mesh]'")


@pytest.fixture(scope="module")
def textured() -> Mesh:
    return mesh(exact_ball(size=96), Meshing(resolution=32, texture=128, faces=800))


@pytest.fixture(scope="module")
def truth() -> Mesh:
    """A fine ball with the colours that the scene shows."""
    trimesh = pytest.importorskip("trimesh")
    ball = trimesh.creation.icosphere(5, RADIUS / SCALE)
    normals = torch.from_numpy(ball.vertices / (RADIUS / SCALE))
    colors = color_of(normals @ exact_ball(count=1, size=8).scene_from_world.rotation.T).float()
    return Mesh(torch.from_numpy(ball.vertices) + CENTRE, torch.from_numpy(ball.faces).long(), colors)


def test_a_texture_shows_what_the_views_saw(textured: Mesh, truth: Mesh):
    assert textured.texture is not None
    assert textured.texture.shape == (128, 128, 3)
    likeness = compare(textured, truth, samples=5000)
    assert likeness.texture_psnr is not None
    assert likeness.texture_psnr > 34
    assert likeness.f_score > 0.99


def test_without_a_texture_the_vertices_have_the_colors(truth: Mesh):
    likeness = compare(mesh(exact_ball(size=96), Meshing(resolution=32)), truth, samples=5000)
    assert likeness.texture_psnr is not None
    assert likeness.texture_psnr > 36


@pytest.mark.parametrize("name", ["ball.glb", "ball.obj"])
def test_a_textured_file_read_back_is_the_same_mesh(tmp_path: Path, textured: Mesh, truth: Mesh, name: str):
    write_mesh(tmp_path / name, textured)
    back = read_mesh(tmp_path / name)
    assert len(back) == len(textured)
    torch.testing.assert_close(back.vertices, textured.vertices, atol=1e-6, rtol=1e-6)
    assert back.texture is not None
    # Bytes for colours, and v counted from below: the texture lies where it lay.
    assert compare(back, truth, samples=5000).texture_psnr == pytest.approx(
        compare(textured, truth, samples=5000).texture_psnr, abs=0.2
    )


def test_an_obj_shows_its_own_picture_beside_others_and_in_the_place_of_another(tmp_path: Path, textured: Mesh):
    assert textured.texture is not None
    darker = dataclasses.replace(textured, texture=textured.texture / 2)
    for name, made in (("a ball.obj", textured), ("b.obj", darker)):
        write_mesh(tmp_path / name, made)
    for name, made in (("a ball.obj", textured), ("b.obj", darker)):
        shown = read_mesh(tmp_path / name).texture
        assert shown is not None
        torch.testing.assert_close(shown, made.texture, atol=0.5 / 255 + 1e-6, rtol=0)
    write_mesh(tmp_path / "a ball.obj", darker)
    shown = read_mesh(tmp_path / "a ball.obj").texture
    assert shown is not None
    torch.testing.assert_close(shown, darker.texture, atol=0.5 / 255 + 1e-6, rtol=0)
    assert sorted(file.suffix for file in tmp_path.iterdir()) == [".mtl", ".mtl", ".obj", ".obj", ".png", ".png"]


@pytest.mark.parametrize("name", ["ball.glb", "ball.ply", "ball.obj"])
def test_colors_at_vertices_survive_every_format(tmp_path: Path, truth: Mesh, name: str):
    write_mesh(tmp_path / name, truth)
    back = read_mesh(tmp_path / name)
    assert back.colors is not None
    assert truth.colors is not None
    assert torch.equal(back.faces, truth.faces)
    torch.testing.assert_close(back.colors, truth.colors, atol=0.02, rtol=0)


def test_a_texture_repeats_beyond_its_edges_and_ends_at_none():
    texture = torch.rand(4, 4, 3, generator=torch.Generator().manual_seed(0))
    middles = torch.cartesian_prod(*2 * [torch.arange(4, dtype=torch.float64) / 4 + 1 / 8])
    colors = texture_colors(texture, middles)
    assert torch.equal(colors, texture.flip(0).transpose(0, 1).reshape(16, 3))
    for shift in (1, -2, 40):
        torch.testing.assert_close(texture_colors(texture, middles + shift), colors, atol=1e-5, rtol=0)
    corners = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]], dtype=torch.float64)
    assert torch.equal(texture_colors(texture, corners), texture[[-1, -1, 0, 0], [0, -1, 0, -1]])
    # Damaged files have had such coordinates.
    far = torch.tensor([[1.7014e38, 0.0], [-1.7014e38, -1.0]], dtype=torch.float64)
    assert texture_colors(texture, far).isfinite().all()


@pytest.mark.bad_input
def test_a_ply_cannot_hold_a_texture(tmp_path: Path, textured: Mesh):
    with pytest.raises(BadInput, match=r"write \.glb or \.obj"):
        write_mesh(tmp_path / "ball.ply", textured)


@pytest.mark.bad_input
def test_a_file_without_triangles_is_refused(tmp_path: Path):
    (tmp_path / "points.ply").write_bytes(b"ply\nformat ascii 1.0\nelement vertex 0\nproperty float x\nend_header\n")
    with pytest.raises(BadInput, match="wanted a mesh"):
        read_mesh(tmp_path / "points.ply")


def test_charts_of_a_mesh_in_blocks_are_those_of_one_mesh(truth: Mesh):
    flat, rows = charted(truth, block=3000)
    assert torch.equal(flat.vertices, truth.vertices[rows])
    assert torch.equal(rows[flat.faces], truth.faces)
    assert flat.coordinates is not None
    assert flat.coordinates.aminmax() == (pytest.approx(0, abs=0.02), pytest.approx(1, abs=0.02))
    # No texel belongs to two triangles.
    at = torch.rand(20000, 2, generator=torch.Generator().manual_seed(0))
    rays = torch.cat([at, torch.tensor([1.0, 0, 0, -1]).expand(20000, 4)], -1)
    above = Mesh(torch.nn.functional.pad(flat.coordinates, (0, 1)), flat.faces)
    hits = torch.from_numpy(ray_scene(above).count_intersections(open3d.core.Tensor(rays.numpy())).numpy())
    assert int(hits.max()) == 1
    assert hits.float().mean() > 0.5


def test_seams_of_a_texture_are_no_holes(truth: Mesh, tmp_path: Path):
    flat, _ = charted(truth)
    faces, coordinates, grey = flat.faces, flat.coordinates, torch.full((4, 4, 3), 0.5)
    for name, kept, closed in (("ball.glb", faces, True), ("cut.glb", faces[1:], False)):
        write_mesh(tmp_path / name, Mesh(flat.vertices, kept, coordinates=coordinates, texture=grey))
        assert describe_mesh(tmp_path / name)["watertight"] == closed


def test_a_texture_bounds_the_triangles_and_what_was_left_out_is_said():
    assert Meshing().most is None
    assert Meshing(texture=2048).most == 131072
    assert Meshing(texture=2048, faces=0).most is None
    made = make(exact_ball(size=96), Meshing(resolution=32, faces=300))
    assert made.note == f"{made.cleaned} triangles simplified to {len(made.mesh)} (--faces 0 keeps all)"
    assert len(made.mesh) <= 300 < made.cleaned
