"""One small capture written to disk in every format, for tests of the readers."""

from __future__ import annotations

import functools
import json
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from scenekit.core.transforms import invert_rigid
from scenekit.data import synthetic
from scenekit.data.capture import Capture
from scenekit.data.listing import OPENCV_FROM_OPENGL

SIZE = (24, 18)


@functools.cache
def sample() -> Capture:
    return synthetic.make(10, SIZE, points=50)


def write_images(folder: Path, capture: Capture, extension: str = ".png") -> list[str]:
    folder.mkdir(parents=True, exist_ok=True)
    for name, image in zip(capture.names, capture.images, strict=True):
        picture = Image.fromarray(image.numpy())
        (picture.convert("RGB") if extension == ".jpg" else picture).save(folder / f"{name}{extension}")
    return [f"{name}{extension}" for name in capture.names]


def opengl_matrix(capture: Capture, index: int) -> list[list[float]]:
    pose = capture.cameras.world_from_camera[index].clone()
    pose[:, :3] = pose[:, :3] @ OPENCV_FROM_OPENGL
    return [*pose.tolist(), [0.0, 0.0, 0.0, 1.0]]


def transforms_values(capture: Capture, names: list[str]) -> dict:
    fx, fy, cx, cy = capture.cameras.intrinsics[0].tolist()
    width, height = capture.cameras.sizes[0]
    frames = [
        {"file_path": f"images/{name}", "transform_matrix": opengl_matrix(capture, i)} for i, name in enumerate(names)
    ]
    return {"fl_x": fx, "fl_y": fy, "cx": cx, "cy": cy, "w": width, "h": height, "frames": frames}


def write_transforms(root: Path, capture: Capture) -> Path:
    names = write_images(root / "images", capture)
    save_json(root / "transforms.json", transforms_values(capture, names))
    return root


def write_blender(root: Path, capture: Capture) -> Path:
    write_images(root / "train", capture)
    write_images(root / "test", capture)
    angle = 2 * float(torch.atan(SIZE[0] / 2 / capture.cameras.intrinsics[0, 0]))
    for split, indices in (("train", capture.train), ("test", capture.test)):
        frames = [
            {"file_path": f"./{split}/{capture.names[i]}", "transform_matrix": opengl_matrix(capture, i)}
            for i in indices
        ]
        save_json(root / f"transforms_{split}.json", {"camera_angle_x": angle, "frames": frames})
    return root


def write_llff(root: Path, capture: Capture) -> Path:
    """Written for images four times as large, as LLFF's usually are."""
    write_images(root / "images", capture)
    rows = []
    for i, (width, height) in enumerate(capture.cameras.sizes):
        right, down, forward, centre = capture.cameras.world_from_camera[i].T
        focal = capture.cameras.intrinsics[i, 0]
        shape = torch.tensor([4 * height, 4 * width, 4 * focal])
        matrix = torch.stack([down, right, -forward, centre, shape], -1)
        rows.append(np.concatenate([matrix.double().numpy().reshape(-1), [2.0, 6.0]]))
    np.save(root / "poses_bounds.npy", np.stack(rows))
    return root


def write_colmap(root: Path, capture: Capture, *, folder: str = "sparse/0", text: bool = False) -> Path:
    import pycolmap

    names = write_images(root / "images", capture)
    model = pycolmap.Reconstruction()
    width, height = capture.cameras.sizes[0]
    camera = pycolmap.Camera(model="PINHOLE", width=width, height=height, params=capture.cameras.intrinsics[0].tolist())
    camera.camera_id = 1
    model.add_camera_with_trivial_rig(camera)
    poses = invert_rigid(capture.cameras.world_from_camera).numpy()
    for i, name in enumerate(names):
        image = pycolmap.Image(name=name, camera_id=1, image_id=i + 1)
        model.add_image_with_trivial_frame(image, pycolmap.Rigid3d(poses[i]))
    assert capture.points is not None
    for position, color in zip(capture.points.positions, capture.points.colors, strict=True):
        rgb = (color * 255).round().numpy().astype(np.uint8)
        model.add_point3D(position.numpy(), pycolmap.Track(), rgb)
    (root / folder).mkdir(parents=True, exist_ok=True)
    write = model.write_text if text else model.write_binary
    write(str(root / folder))
    return root


WRITERS = {
    "blender": write_blender,
    "transforms": write_transforms,
    "llff": write_llff,
    "colmap": write_colmap,
}


def save_json(path: Path, values: dict) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(values))


def edit_json(path: Path, **changes: object) -> None:
    save_json(path, {**json.loads(path.read_text()), **changes})
