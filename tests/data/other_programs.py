"""The sample capture as other programs write it: phones, photogrammetry, older structure from motion."""

from __future__ import annotations

import json
import math
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from scenekit.core.transforms import invert_rigid, quaternion_from_matrix
from scenekit.data.capture import Capture
from scenekit.data.listing import OPENCV_FROM_OPENGL
from tests.data.captures import save_json, write_images


def opengl_pose(capture: Capture, index: int) -> Tensor:
    pose = capture.cameras.world_from_camera[index].clone()
    pose[:, :3] = pose[:, :3] @ OPENCV_FROM_OPENGL
    return pose


def write_bundler(root: Path, capture: Capture) -> Path:
    names = write_images(root / "images", capture)
    assert capture.points is not None
    lines = ["# Bundle file v0.3", f"{len(names)} {len(capture.points)}"]
    for index in range(len(names)):
        fx = float(capture.cameras.intrinsics[index, 0])
        inverse = invert_rigid(opengl_pose(capture, index))
        lines += [
            f"{fx!r} 0 0",
            *(" ".join(map(repr, row)) for row in [*inverse[:, :3].tolist(), inverse[:, 3].tolist()]),
        ]
    for position, color in zip(capture.points.positions, capture.points.colors, strict=True):
        rgb = (color * 255).round().int().tolist()
        lines += [" ".join(map(repr, position.tolist())), " ".join(map(str, rgb)), "2 0 7 1.5 -2.5 1 9 3 4"]
    (root / "bundle.out").write_text("\n".join(lines) + "\n")
    (root / "list.txt").write_text("".join(f"./images/{name} 0 532.1\n" for name in names))
    return root


def write_opensfm(root: Path, capture: Capture) -> Path:
    names = write_images(root / "images", capture)
    shots = {}
    for index, name in enumerate(names):
        inverse = invert_rigid(capture.cameras.world_from_camera[index])
        shots[name] = {"camera": "c", "rotation": _angle_axis(inverse[:, :3]), "translation": inverse[:, 3].tolist()}
    fx, fy, cx, cy = capture.cameras.intrinsics[0].tolist()
    (width, height), longer = capture.cameras.sizes[0], max(capture.cameras.sizes[0])
    camera = {
        "projection_type": "brown", "width": width, "height": height, "focal_x": fx / longer, "focal_y": fy / longer,
        "c_x": (cx - width / 2) / longer, "c_y": (cy - height / 2) / longer, "k1": 0.0, "p1": 0.0,
    }  # fmt: skip
    assert capture.points is not None
    points = {
        str(i): {"coordinates": position.tolist(), "color": (color * 255).tolist()}
        for i, (position, color) in enumerate(zip(capture.points.positions, capture.points.colors, strict=True))
    }
    (root / "reconstruction.json").write_text(
        json.dumps([{"cameras": {"c": camera}, "shots": shots, "points": points}])
    )
    return root


def _angle_axis(rotation: Tensor) -> list[float]:
    w, *axis = quaternion_from_matrix(rotation).tolist()
    length = math.hypot(*axis)
    angle = 2 * math.atan2(length, w)
    return [angle * value / max(length, 1e-300) for value in axis]


def write_metashape(root: Path, capture: Capture, *, turned: bool = True) -> Path:
    """In a component of its own scale and turn, as georeferenced projects have."""
    names = write_images(root / "images", capture)
    fx, _, cx, cy = capture.cameras.intrinsics[0].tolist()
    width, height = capture.cameras.sizes[0]
    scale, shift = (2.0, [10.0, 20.0, 30.0]) if turned else (1.0, [0.0, 0.0, 0.0])
    turn = torch.tensor([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]], dtype=torch.float64)
    cameras = []
    for index, name in enumerate(names):
        pose = capture.cameras.world_from_camera[index]
        inside = torch.cat([turn.T @ pose[:, :3], turn.T @ (pose[:, 3:] - torch.tensor(shift)[:, None]) / scale], 1)
        numbers = [*inside.reshape(-1).tolist(), 0.0, 0.0, 0.0, 1.0]
        cameras.append(
            f'<camera id="{index}" sensor_id="0" component_id="0" label="{Path(name).stem}">'
            f"<transform>{' '.join(map(repr, numbers))}</transform></camera>"
        )
    (root / "cameras.xml").write_text(f"""<?xml version="1.0" encoding="UTF-8"?>
<document version="2.0.0"><chunk label="Chunk 1" enabled="true">
<sensors next_id="1"><sensor id="0" label="unknown" type="frame"><resolution width="{width}" height="{height}"/>
<calibration type="frame" class="adjusted"><resolution width="{width}" height="{height}"/>
<f>{fx!r}</f><cx>{cx - width / 2!r}</cx><cy>{cy - height / 2!r}</cy></calibration></sensor></sensors>
<components next_id="1"><component id="0"><transform><rotation>{" ".join(map(repr, turn.reshape(-1).tolist()))}
</rotation><translation>{" ".join(map(repr, shift))}</translation><scale>{scale!r}</scale></transform></component>
</components><cameras next_id="{len(names)}">{"".join(cameras)}</cameras></chunk></document>
""")
    return root


def write_realitycapture(root: Path, capture: Capture) -> Path:
    names = write_images(root / "images", capture)
    lines = ["#name,x,y,alt,heading,pitch,roll,f,px,py,k1,k2,k3,k4,t1,t2"]
    for index, name in enumerate(names):
        turn = opengl_pose(capture, index)[:, :3]
        # turn = Rz(-heading) Rx(pitch) Ry(roll)
        pitch = math.asin(float(turn[2, 1]))
        heading = math.atan2(float(turn[0, 1]), float(turn[1, 1]))
        roll = math.atan2(-float(turn[2, 0]), float(turn[2, 2]))
        angles = [math.degrees(angle) for angle in (heading, pitch, roll)]
        focal = float(capture.cameras.intrinsics[index, 0]) * 36 / max(capture.cameras.sizes[index])
        row = [*capture.cameras.centres[index].tolist(), *angles, focal, 0, 0, 0, 0, 0, 0, 0, 0]
        lines.append(",".join([name, *map(repr, row)]))
    (root / "cameras.csv").write_text("\n".join(lines) + "\n")
    return root


def write_polycam(root: Path, capture: Capture) -> Path:
    folder = root / "keyframes"
    names = write_images(folder / "images", capture)
    for index, name in enumerate(names):
        fx, fy, cx, cy = capture.cameras.intrinsics[index].tolist()
        width, height = capture.cameras.sizes[index]
        pose = opengl_pose(capture, index).tolist()
        values = {f"t_{row}{column}": pose[row][column] for row in range(3) for column in range(4)}
        values |= {"fx": fx, "fy": fy, "cx": cx, "cy": cy, "width": width, "height": height, "blur_score": 9.0}
        save_json(folder / "cameras" / f"{Path(name).stem}.json", values)
    return root


def write_record3d(root: Path, capture: Capture) -> Path:
    (root / "rgb").mkdir(parents=True)
    poses = []
    for index, image in enumerate(capture.images):
        Image.fromarray(image.numpy()).save(root / "rgb" / f"{index}.png")
        pose = opengl_pose(capture, index)
        w, x, y, z = quaternion_from_matrix(pose[:, :3]).tolist()
        poses.append([x, y, z, w, *pose[:, 3].tolist()])
    fx, fy, cx, cy = capture.cameras.intrinsics[0].tolist()
    width, height = capture.cameras.sizes[0]
    matrix = [fx, 0, 0, 0, fy, 0, cx, cy, 1]
    save_json(root / "metadata.json", {"K": matrix, "w": width, "h": height, "fps": 30, "poses": poses})
    return root


OTHER_WRITERS = {
    "opensfm": write_opensfm,
    "bundler": write_bundler,
    "polycam": write_polycam,
    "record3d": write_record3d,
    "metashape": write_metashape,
    "realitycapture": write_realitycapture,
}
