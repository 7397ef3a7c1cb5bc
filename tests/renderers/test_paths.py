import json
import math

import pytest
import torch

from scenekit.core.cameras import Cameras, look_at
from scenekit.core.checks import BadInput
from scenekit.renderers.paths import camera_path, focus, up_direction

UP = torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64)


def cameras_at(centres, target, size=(80, 60)):
    centres = torch.as_tensor(centres, dtype=torch.float64)
    target = torch.as_tensor(target, dtype=torch.float64)
    poses = torch.stack([look_at(centre, target, UP) for centre in centres])
    intrinsics = torch.tensor([[70.0, 70.0, 40.0, 30.0]], dtype=torch.float64).expand(len(centres), 4)
    return Cameras(poses, intrinsics, (size,) * len(centres))


def ring(count=8, height=1.0, radius=3.0, target=(5.0, -2.0, 1.0)):
    angles = [2 * math.pi * i / count for i in range(count)]
    centres = [(target[0] + radius * math.cos(a), target[1] + radius * math.sin(a), target[2] + height) for a in angles]
    return cameras_at(centres, target)


def test_orbit_keeps_distance_and_height_and_looks_at_the_focus():
    path = camera_path("orbit", ring(), count=12, size=(64, 48))
    target = torch.tensor([5.0, -2.0, 1.0], dtype=torch.float64)
    offsets = path.centres - target
    torch.testing.assert_close(offsets[:, 2], torch.ones(12, dtype=torch.float64), atol=2e-3, rtol=0)
    radii = offsets[:, :2].norm(dim=-1)
    torch.testing.assert_close(radii, torch.full_like(radii, 3.0), atol=1e-2, rtol=0)
    towards = torch.nn.functional.normalize(-offsets, dim=-1)
    torch.testing.assert_close(towards, path.forward, atol=5e-3, rtol=0)
    assert path.sizes == ((64, 48),) * 12
    assert path.world_from_camera.dtype == torch.float64


def test_the_orbit_s_field_of_view_is_the_photographs_at_any_size():
    path = camera_path("orbit", ring(), count=2, size=(640, 480))
    torch.testing.assert_close(path.intrinsics[0], torch.tensor([560.0, 560, 320, 240], dtype=torch.float64))


def test_focus_and_up_of_a_ring_are_its_target_and_axis():
    torch.testing.assert_close(focus(ring()), torch.tensor([5.0, -2.0, 1.0], dtype=torch.float64), atol=1e-2, rtol=0)
    torch.testing.assert_close(up_direction(ring()), UP)


def test_spiral_stays_near_the_photographs_and_closes():
    centres = [(x, 0.0, z) for x in (-1.0, 0.0, 1.0) for z in (-0.5, 0.5)]
    path = camera_path("spiral", cameras_at(centres, (0.0, 8.0, 0.0)), count=40)
    assert path.centres.norm(dim=-1).max() < 3
    assert (path.forward[:, 1] > 0.9).all()
    step = (path.centres[1:] - path.centres[:-1]).norm(dim=-1)
    assert (path.centres[0] - path.centres[-1]).norm() < 1.5 * step.max()


@pytest.mark.parametrize("name", ["orbit", "spiral"])
@pytest.mark.parametrize(
    "cameras",
    [
        cameras_at([(0.0, -4.0, 0.0)], (0.0, 0.0, 0.0)),
        cameras_at([(x, -4.0, 0.0) for x in (0.0, 1.0, 2.0)], (1.0, 1e6, 0.0)),
        cameras_at([(0.0, 0.0, z) for z in (3.0, 4.0, 5.0)], (0.0, 0.0, 0.0)),
        cameras_at([(0.0, 0.0, 0.0)] * 3, (0.0, 1.0, 0.0)),
        Cameras(
            torch.stack([look_at(c, 2 * c, UP) for c in torch.tensor([[1.0, 0, 0], [-1, 0, 0], [0, 1, 0]]).double()]),
            torch.tensor([[70.0, 70, 40, 30]] * 3).double(),
            ((80, 60),) * 3,
        ),
    ],
    ids=["one camera", "parallel in a row", "straight down in a row", "all at one place", "looking outwards"],
)
def test_degenerate_cameras_still_give_a_path_of_proper_poses(name, cameras):
    path = camera_path(name, cameras, count=7)
    turns = path.world_from_camera[..., :3]
    assert path.world_from_camera.isfinite().all()
    torch.testing.assert_close(turns @ turns.transpose(1, 2), torch.eye(3).double().expand(7, 3, 3))
    assert (torch.linalg.det(turns) > 0.99).all()
    assert (path.centres - path.centres[0]).norm(dim=-1).max() > 1e-3


def test_the_three_files_give_the_same_cameras(tmp_path):
    cameras = ring(4)
    square = torch.cat([cameras.world_from_camera, torch.tensor([[[0.0, 0, 0, 1]]] * 4).double()], 1)
    opengl = square * torch.tensor([1.0, -1, -1, 1]).double()
    tables = {
        "ours": {"cameras": [{"world_from_camera": pose[:3].tolist(), "fov": 40.0} for pose in square]},
        "path": {"camera_path": [{"camera_to_world": pose.flatten().tolist(), "fov": 40.0} for pose in opengl]},
        "transforms": {
            "fl_y": 30 / math.tan(math.radians(20)),
            "h": 60,
            "frames": [{"transform_matrix": pose.tolist()} for pose in opengl],
        },
    }
    for name, table in tables.items():
        file = tmp_path / f"{name}.json"
        file.write_text(json.dumps(table))
        path = camera_path(str(file), cameras)
        torch.testing.assert_close(path.world_from_camera, cameras.world_from_camera)
        assert float(path.intrinsics[0, 1]) == pytest.approx(30 / math.tan(math.radians(20)))


def test_a_file_without_a_field_of_view_takes_the_photographs(tmp_path):
    file = tmp_path / "path.json"
    file.write_text(json.dumps({"cameras": [{"world_from_camera": torch.eye(4).tolist()}]}))
    assert float(camera_path(str(file), ring()).intrinsics[0, 1]) == pytest.approx(70.0)


def test_a_count_samples_the_file_s_path_evenly_and_keeps_its_ends(tmp_path):
    cameras = ring(6)
    file = tmp_path / "path.json"
    rows = [{"world_from_camera": pose.tolist()} for pose in cameras.world_from_camera]
    file.write_text(json.dumps({"cameras": rows}))
    path = camera_path(str(file), cameras, count=11)
    torch.testing.assert_close(path.world_from_camera[::2], cameras.world_from_camera)
    between = path.centres[5] - torch.tensor([5.0, -2.0, 2.0]).double()
    assert 2.6 < float(between.norm()) <= 3.0  # on the ring's curve, not on its chord alone
    single = tmp_path / "single.json"
    single.write_text(json.dumps({"cameras": rows[:1]}))
    assert len(camera_path(str(single), cameras, count=3)) == 3


@pytest.mark.bad_input
@pytest.mark.parametrize(
    "text",
    [
        "not json",
        "[]",
        "{}",
        '{"cameras": [3]}',
        '{"cameras": [{"world_from_camera": [[NaN, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0]]}]}',
        '{"frames": [{"transform_matrix": [[0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]}]}',
        '{"frames": [{"transform_matrix": [1, 2]}]}',
    ],
)
def test_a_damaged_path_file_is_one_sentence_that_names_it(tmp_path, text):
    file = tmp_path / "broken.json"
    file.write_text(text)
    with pytest.raises(BadInput, match=r"broken\.json"):
        camera_path(str(file), ring())


@pytest.mark.bad_input
def test_an_unknown_path_names_the_known_ones():
    with pytest.raises(BadInput, match="orbit or spiral or a JSON file"):
        camera_path("zigzag", ring())
    with pytest.raises(BadInput, match=r"absent\.json"):
        camera_path("absent.json", ring())
    with pytest.raises(BadInput, match="at least one photograph"):
        camera_path("orbit", ring()[0:0])
