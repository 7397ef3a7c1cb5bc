"""Files of points and meshes as shapes of a page."""

import pytest
import torch

from scenekit.assets.meshes import Mesh
from scenekit.assets.meshes.files import write_mesh
from scenekit.assets.splats.files import write_splats
from scenekit.assets.web.beside import GREY, shape_of_file
from scenekit.core.cloud import PointCloud
from scenekit.data.ply import points_file
from tests.representations.gaussian_clouds import sample_cloud

CORNERS = torch.tensor([[0.0, 0.0, 1.0], [4.0, 0.0, 1.0], [4.0, 4.0, 1.0], [0.0, 4.0, 1.0]], dtype=torch.float64)
FACES = torch.tensor([[0, 1, 2], [0, 2, 3]])
QUARTERS = torch.tensor([[[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]], [[0.0, 0.0, 1.0], [1.0, 1.0, 1.0]]])  # the top row first


def test_points_keep_their_places_and_colours(tmp_path):
    colors = torch.tensor([[255, 0, 51], [0, 102, 255]]) / 255
    (tmp_path / "cloud.ply").write_bytes(points_file(PointCloud(CORNERS[:2], colors)))
    shape = shape_of_file(tmp_path / "cloud.ply")
    assert (shape.kind, shape.name) == ("points", "cloud")
    assert torch.equal(shape.positions.double(), CORNERS[:2])
    torch.testing.assert_close(shape.colors.float(), colors)


@pytest.mark.parametrize("suffix", [".ply", ".obj", ".glb"])
def test_a_mesh_keeps_its_triangles_and_the_colours_of_its_vertices(tmp_path, suffix):
    colors = torch.cat([QUARTERS[0], QUARTERS[1]])
    write_mesh(tmp_path / f"a{suffix}", Mesh(CORNERS, FACES, colors))
    shape = shape_of_file(tmp_path / f"a{suffix}")
    assert shape.kind == "mesh"
    torch.testing.assert_close(shape.positions[shape.triangles].double(), CORNERS[FACES])
    torch.testing.assert_close(shape.colors[shape.triangles].float(), colors[FACES], atol=1 / 255, rtol=0)


def test_a_mesh_without_colours_is_grey(tmp_path):
    write_mesh(tmp_path / "a.obj", Mesh(CORNERS, FACES))
    colors = shape_of_file(tmp_path / "a.obj").colors
    assert colors.shape == (4, 3)
    assert float((colors - colors[0]).abs().max()) == 0
    assert 0 < float(colors[0, 0]) <= GREY


def test_a_texture_gives_the_vertices_the_colours_where_they_lie(tmp_path):
    texture = QUARTERS.repeat_interleave(4, 0).repeat_interleave(4, 1)
    coordinates = torch.tensor([[0.1, 0.1], [0.9, 0.1], [0.9, 0.9], [0.1, 0.9]], dtype=torch.float64)
    write_mesh(tmp_path / "a.glb", Mesh(CORNERS, FACES, None, coordinates, texture))
    shape = shape_of_file(tmp_path / "a.glb")
    wanted = torch.stack([QUARTERS[1, 0], QUARTERS[1, 1], QUARTERS[0, 1], QUARTERS[0, 0]])
    torch.testing.assert_close(shape.colors[shape.triangles].float(), wanted[FACES], atol=0.01, rtol=0)


def test_splats_are_no_shape(tmp_path):
    write_splats(tmp_path / "a.ply", sample_cloud(4, 0))
    assert shape_of_file(tmp_path / "a.ply") is None
