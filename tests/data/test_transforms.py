"""transforms.json in the dialects of instant-ngp and nerfstudio."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from scenekit.core.checks import BadInput
from scenekit.core.transforms import Similarity, matrix_from_quaternion
from scenekit.data import open_capture
from scenekit.data.readers import read_listing
from tests.data.captures import (
    edit_json,
    opengl_matrix,
    sample,
    save_json,
    transforms_values,
    write_transforms,
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_transforms(tmp_path / "capture", sample())


def test_instant_ngps_box_maps_to_the_scene(root: Path) -> None:
    edit_json(root / "transforms.json", aabb_scale=4, scale=0.5, offset=[0.5, 0.25, 0.5])
    capture = open_capture(root)
    world = torch.tensor([[0.2, 0.1, -0.4]], dtype=torch.float64)
    unit = 0.5 * world + torch.tensor([0.5, 0.25, 0.5], dtype=torch.float64)
    torch.testing.assert_close(capture.scene_from_world.points(world), 2 * unit - 1)
    assert (capture.bounds.extent, capture.bounds.contracted) == (4.0, False)


def test_without_a_box_the_scene_is_unbounded_about_what_the_cameras_look_at(root: Path) -> None:
    capture = open_capture(root)
    assert capture.bounds.contracted
    moved = capture.cameras.moved(capture.scene_from_world)
    assert float(moved.centres.norm(dim=-1).mean()) == pytest.approx(1)


def test_intrinsics_of_a_frame_override_those_of_the_file(root: Path) -> None:
    values = json.loads((root / "transforms.json").read_text())
    values["frames"][3] |= {"fl_x": 50.0, "fl_y": 51.0, "cx": 11.0}
    save_json(root / "transforms.json", values)
    intrinsics = open_capture(root).cameras.intrinsics
    assert intrinsics[3].tolist() == [50.0, 51.0, 11.0, values["cy"]]
    assert intrinsics[2, 0] == values["fl_x"]


def test_a_field_of_view_stands_in_for_the_focal_length(root: Path) -> None:
    values = json.loads((root / "transforms.json").read_text())
    for key in ("fl_x", "fl_y", "w", "h", "cx", "cy"):
        del values[key]
    save_json(root / "transforms.json", {**values, "camera_angle_x": math.pi / 2})
    assert open_capture(root).cameras.intrinsics[0].tolist() == pytest.approx([12.0, 12.0, 12.0, 9.0])


def test_missing_extensions_are_tried_in_order(root: Path) -> None:
    values = json.loads((root / "transforms.json").read_text())
    for frame in values["frames"]:
        frame["file_path"] = frame["file_path"].removesuffix(".png")
    save_json(root / "transforms.json", values)
    assert read_listing(root).photographs[0].path.suffix == ".png"


@pytest.mark.parametrize(
    ("extra", "model"),
    [
        ({}, "PINHOLE"),
        ({"k1": 0.1, "p1": 0.001}, "OPENCV"),
        ({"k1": 0.1, "k3": 0.01}, "FULL_OPENCV"),
        ({"camera_model": "OPENCV_FISHEYE", "k1": 0.01, "k4": 0.001}, "OPENCV_FISHEYE"),
        ({"is_fisheye": True}, "OPENCV_FISHEYE"),
    ],
)
def test_distortion_chooses_the_lens(root: Path, extra: dict, model: str) -> None:
    edit_json(root / "transforms.json", **extra)
    assert read_listing(root).photographs[0].lens.model == model
    assert open_capture(root).images[0].shape == (18, 24, 4)


def test_an_applied_transform_is_undone_for_cameras_and_points(tmp_path: Path) -> None:
    capture = sample()
    assert capture.points is not None
    turn = matrix_from_quaternion(torch.tensor([0.7, 0.1, -0.5, 0.3], dtype=torch.float64))
    applied = Similarity(2.0, turn, torch.tensor([0.4, -1.0, 3.0], dtype=torch.float64))
    root = write_transforms(tmp_path / "capture", capture)
    values = transforms_values(capture, [f"{name}.png" for name in capture.names])
    for i, frame in enumerate(values["frames"]):
        pose = torch.tensor(opengl_matrix(capture, i), dtype=torch.float64)[:3]
        frame["transform_matrix"] = [*applied.poses(pose).tolist(), [0, 0, 0, 1]]
    matrix = torch.cat([turn, applied.translation[:, None] / 2], -1).tolist()
    write_ply(root / "points.ply", applied.points(capture.points.positions))
    save_json(
        root / "transforms.json",
        {
            **values,
            "applied_transform": matrix,
            "applied_scale": 2.0,
            "ply_file_path": "points.ply",
            "aabb_scale": 2,
        },
    )
    read = open_capture(root)
    torch.testing.assert_close(read.cameras.world_from_camera, capture.cameras.world_from_camera)
    assert read.points is not None
    torch.testing.assert_close(read.points.positions, capture.points.positions)
    # The box stays where the file's own frame has it.
    torch.testing.assert_close(
        read.scene_from_world.points(capture.points.positions),
        0.66 * applied.points(capture.points.positions),
    )


def test_nerfstudios_split_is_honoured(root: Path) -> None:
    files = [f"images/{name}.png" for name in sample().names]
    edit_json(
        root / "transforms.json",
        train_filenames=files[:6],
        test_filenames=files[6:9],
        val_filenames=files[9:],
    )
    capture = open_capture(root)
    assert (capture.train, capture.test) == ((0, 1, 2, 3, 4, 5), (6, 7, 8))


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        ([[math.nan] * 4] * 4, "NaN or infinity"),
        ([[0.0] * 4] * 4, "singular"),
        ([[1, 0, 0, 0], [1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]], "singular"),
        ([[1, 0], [0, 1]], "shape"),
        ("none", "shape"),
    ],
)
def test_a_bad_pose_is_refused_by_file_and_frame(root: Path, matrix: object, message: str) -> None:
    values = json.loads((root / "transforms.json").read_text())
    values["frames"][2]["transform_matrix"] = matrix
    save_json(root / "transforms.json", values)
    with pytest.raises(BadInput, match=f"transforms.json.*view_002.*{message}"):
        open_capture(root)


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"fl_x": "long"}, "fl_x"),
        ({"fl_x": math.nan}, "fl_x"),
        ({"fl_x": -3.0, "fl_y": -3.0}, "positive focal length"),
        ({"frames": 3}, "frames"),
        ({"frames": [{"file_path": "a.png"}]}, "transform_matrix"),
        ({"aabb_scale": 0}, "aabb_scale"),
        ({"offset": [1]}, "offset"),
        ({"camera_model": "VR180_L"}, "VR180_L"),
        ({"ply_file_path": "absent.ply"}, "absent.ply"),
        ({"w": 48}, "48x18"),
    ],
)
def test_bad_values_are_refused_by_name(root: Path, changes: dict, message: str) -> None:
    edit_json(root / "transforms.json", **changes)
    with pytest.raises(BadInput, match=message):
        open_capture(root)


def write_ply(path: Path, positions: torch.Tensor) -> None:
    lines = ["ply", "format ascii 1.0", f"element vertex {len(positions)}"]
    lines += [f"property double {axis}" for axis in "xyz"]
    lines += [f"property uchar {channel}" for channel in ("red", "green", "blue")]
    rows = [" ".join(f"{value!r}" for value in row) + " 255 0 51" for row in positions.tolist()]
    path.write_text("\n".join([*lines, "end_header", *rows, ""]))


def test_a_frame_names_its_mask_and_its_depth(tmp_path: Path) -> None:
    root = write_transforms(tmp_path / "capture", sample())
    values = json.loads((root / "transforms.json").read_text())
    values["frames"][1] |= {"mask_path": "m/one.png", "depth_file_path": "d/one.png"}
    values["applied_scale"] = 4.0
    save_json(root / "transforms.json", values)
    for folder in ("m", "d"):
        (root / folder).mkdir()
    Image.fromarray(np.tile(np.array([0, 255], np.uint8), (18, 12))).save(root / "m" / "one.png")
    Image.fromarray(np.full((18, 24), 1250, np.uint16)).save(root / "d" / "one.png")
    capture = open_capture(root)
    assert capture.masks is not None
    assert capture.depths is not None
    assert capture.masks[1].float().mean() == 0.5
    assert capture.masks[0].all()
    torch.testing.assert_close(capture.depths[1], torch.full((18, 24), 1.25))


@pytest.mark.bad_input
def test_an_absent_depth_that_a_frame_names_is_refused(tmp_path: Path) -> None:
    root = write_transforms(tmp_path / "capture", sample())
    values = json.loads((root / "transforms.json").read_text())
    values["frames"][1]["depth_file_path"] = "d/one.png"
    save_json(root / "transforms.json", values)
    with pytest.raises(BadInput, match=r"d/one.png of 'depth_file_path', found none"):
        open_capture(root)
