import math

import pytest
import torch

from scenekit.assets.meshes import Mesh, Meshing, mesh
from scenekit.assets.meshes.cleaning import is_closed, pieces, to_open3d
from scenekit.assets.meshes.fusion import Box
from scenekit.assets.meshes.surface import signed_volumes
from scenekit.core.checks import BadInput
from scenekit.renderers.scene import Scene

from .balls import CENTRE, RADIUS, SCALE, color_of, exact_ball, field_ball

pytest.importorskip("open3d", reason="meshes need the extra: pip install 'scenekit[mesh]'")
WORLD_RADIUS = RADIUS / SCALE


@pytest.fixture(scope="module")
def ball() -> Scene:
    return exact_ball(size=96)


def _errors(made: Mesh) -> torch.Tensor:
    """Distances of the vertices from the true ball, in its radii."""
    return ((made.vertices - CENTRE).norm(dim=-1) / WORLD_RADIUS - 1).abs()


def _volume(made: Mesh) -> float:
    return float(signed_volumes(made).sum()) / (4 / 3 * math.pi * WORLD_RADIUS**3)


@pytest.mark.parametrize("method", ["tsdf", "poisson"])
def test_a_ball_seen_from_around_becomes_a_ball_in_world(ball: Scene, method: str):
    made = mesh(ball, Meshing(method=method, resolution=48, watertight=True))
    assert float(_errors(made).mean()) < 0.006
    assert float(_errors(made).max()) < 0.03
    assert is_closed(made)
    assert _volume(made) == pytest.approx(1, abs=0.02)  # positive: triangles face outwards
    assert made.colors is not None
    wanted = color_of(torch.nn.functional.normalize(made.vertices - CENTRE, dim=-1) @ ball.scene_from_world.rotation.T)
    assert float((made.colors - wanted).abs().mean()) < 0.01


def test_a_watertight_mesh_satisfies_open3d(ball: Scene):
    assert to_open3d(mesh(ball, Meshing(resolution=24, watertight=True))).is_watertight()


def test_finer_cells_make_smaller_errors(ball: Scene):
    coarse, fine = (_errors(mesh(ball, Meshing(resolution=resolution))).mean() for resolution in (16, 48))
    assert float(fine) < 0.5 * float(coarse)


def test_what_floats_is_left_out_unless_asked_for():
    scene = exact_ball(speck=True, size=96)
    assert len(pieces(mesh(scene, Meshing(resolution=48))).unique()) == 1
    assert len(pieces(mesh(scene, Meshing(resolution=48, smallest=0.0))).unique()) == 2


def test_a_field_follows_its_level_and_hollows_go_where_the_mesh_is_solid():
    scene = field_ball()
    shell = mesh(scene, Meshing(method="density", resolution=48))
    solid = mesh(scene, Meshing(method="density", resolution=48, watertight=True))
    assert len(pieces(shell).unique()) == 2
    assert len(pieces(solid).unique()) == 1
    assert is_closed(solid)
    assert float(_errors(solid).mean()) < 0.03  # cells are 0.045 radii
    assert _volume(shell) == pytest.approx(1 - 0.5**3, abs=0.04)  # the hollow's radius is half the ball's


def test_a_box_crops(ball: Scene):
    box = Box(CENTRE - 2 * WORLD_RADIUS, CENTRE + torch.tensor([2 * WORLD_RADIUS, 0.0, 2 * WORLD_RADIUS]))
    made = mesh(ball, Meshing(resolution=48), box=box)
    assert float(made.vertices[:, 1].max() - CENTRE[1]) < 0.02 * WORLD_RADIUS
    assert not is_closed(made)
    assert is_closed(mesh(ball, Meshing(resolution=48, watertight=True), box=box))


def test_the_number_of_triangles_can_be_limited(ball: Scene):
    made = mesh(ball, Meshing(resolution=48, faces=500))
    assert 400 < len(made) <= 500
    assert float(_errors(made).mean()) < 0.02


@pytest.mark.bad_input
def test_splats_have_no_density_to_follow(ball: Scene):
    with pytest.raises(BadInput, match="--method tsdf or poisson"):
        mesh(ball, Meshing(method="density"))


@pytest.mark.bad_input
def test_an_empty_box_is_refused(ball: Scene):
    with pytest.raises(BadInput, match="hardly any"):
        mesh(ball, box=Box(CENTRE + 50, CENTRE + 51))


@pytest.mark.bad_input
def test_a_missing_library_is_one_sentence_with_the_pip_line(ball: Scene, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(__import__("sys").modules, "open3d", None)
    with pytest.raises(BadInput, match=r"pip install 'scenekit\[mesh\]'"):
        mesh(ball)
