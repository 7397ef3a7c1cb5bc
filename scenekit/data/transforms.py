"""``transforms.json`` as instant-ngp and nerfstudio write it.

Intrinsics may stand in the file or in each frame; poses are OpenGL's. nerfstudio moves a capture before it
writes it and keeps that move as ``applied_transform`` (and ``applied_scale``); it is undone here for cameras
and points alike, so that ``world`` is the frame the capture was reconstructed in.
"""

from __future__ import annotations

import math
from collections import ChainMap
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from scenekit.core.bounds import Bounds
from scenekit.core.checks import BadInput
from scenekit.core.cloud import PointCloud
from scenekit.core.transforms import Similarity
from scenekit.data.decode import image_size, is_there
from scenekit.data.jsonfile import frames_of, number, read_json_object
from scenekit.data.lens import Lens
from scenekit.data.listing import OPENCV_FROM_OPENGL, Listing, Photograph, Split, present, rigid_pose
from scenekit.data.placement import NGP_OFFSETS, NGP_SCALE, ngp_placement
from scenekit.data.ply import read_points

LOOKS_FOR = "transforms.json"
EXTENSIONS = (".png", ".jpg", ".jpeg")
FISHEYES = ("OPENCV_FISHEYE", "FISHEYE", "EQUIDISTANT")
UNSUPPORTED = (
    "OMNIDIRECTIONALSTEREO_L",
    "OMNIDIRECTIONALSTEREO_R",
    "VR180_L",
    "VR180_R",
)


@dataclass(frozen=True)
class _File:
    """A transforms.json on the way in: where it is, what it says, and its frame's relation to ``world``."""

    path: Path
    values: Mapping[str, Any]
    world_from_file: Similarity


def sniff(path: Path) -> bool:
    """A folder with a transforms.json, or any .json named outright."""
    return (path / "transforms.json").is_file() or (path.suffix == ".json" and is_there(path))


def read(path: Path) -> Listing:
    """List the frames whose image exists."""
    source = path / "transforms.json" if path.is_dir() else path
    values = read_json_object(source)
    file = _File(source, values, _applied(source, values).inverse())
    frames = frames_of(source, values)
    listed = [_photograph(file, frame) for frame in frames]
    photographs, notes = present(source, listed)
    return Listing(
        "transforms",
        source.parent,
        photographs,
        len(listed),
        split=_split(file, photographs),
        points=_points(file),
        place=_place(file),
        notes=notes,
    )


def _applied(source: Path, values: Mapping[str, Any]) -> Similarity:
    """file_from_world: what nerfstudio applied before writing."""
    scale = number(source, values, "applied_scale", 1.0)
    matrix = values.get("applied_transform", torch.eye(4).tolist())
    pose = rigid_pose(source, "applied_transform", matrix)
    stretch = float(torch.tensor(matrix, dtype=torch.float64)[:3, :3].norm(dim=0).mean())
    if scale <= 0:
        raise BadInput.of(source, wanted="a positive 'applied_scale'", found=str(scale), remedy="correct or remove it")
    return Similarity(scale * stretch, pose[:, :3], scale * pose[:, 3])


def _photograph(file: _File, frame: Mapping[str, Any]) -> Photograph:
    path = _image_file(file.path.parent, frame["file_path"])
    pose = rigid_pose(file.path, frame["file_path"], frame["transform_matrix"])
    pose[:, :3] = pose[:, :3] @ OPENCV_FROM_OPENGL
    keys = ChainMap(dict(frame), dict(file.values))
    lens = _lens(file.path, keys, path)
    mask, depth = _companion(file, frame, "mask_path"), _companion(file, frame, "depth_file_path")
    # nerfstudio's depth is measured before it applies its scale: in millimetres of ``world``.
    return Photograph(frame["file_path"], path, lens, file.world_from_file.poses(pose), mask, depth)


def _companion(file: _File, frame: Mapping[str, Any], key: str) -> Path | None:
    """The mask or depth that a frame names."""
    name = frame.get(key)
    if name is None:
        return None
    path = file.path.parent / str(name)
    if not is_there(path):
        raise BadInput.of(
            file.path,
            wanted=f"the file {path} of '{key}'",
            found="none",
            remedy="add it or remove the key from that frame",
        )
    return path


def _image_file(root: Path, name: str) -> Path:
    """The file as named, or with the first extension that exists, tried in instant-ngp's order."""
    path = root / name
    if is_there(path):
        return path
    candidates = [path.with_name(path.name + extension) for extension in EXTENSIONS]
    return next((candidate for candidate in candidates if is_there(candidate)), path)


def _lens(source: Path, keys: Mapping[str, Any], image: Path) -> Lens:
    model = str(keys.get("camera_model", "OPENCV")).upper()
    if model in UNSUPPORTED:
        raise BadInput.of(
            source,
            wanted="a perspective, fisheye, equirectangular or orthographic camera",
            found=model,
            remedy="cut perspective views from it first",
        )
    size = _size(source, keys, image)
    if model == "EQUIRECTANGULAR":
        return Lens(model, size, (size[0] / (2 * math.pi), size[1] / math.pi, size[0] / 2, size[1] / 2))
    fx, fy = _focal(source, keys, size)
    cx, cy = number(source, keys, "cx", size[0] / 2), number(source, keys, "cy", size[1] / 2)
    k1, k2, k3, k4, k5, k6, p1, p2 = (
        number(source, keys, key, 0.0) for key in ("k1", "k2", "k3", "k4", "k5", "k6", "p1", "p2")
    )
    if model == "ORTHOPHOTO":
        return Lens("ORTHOGRAPHIC", size, (fx, fy, cx, cy))
    if model == "THIN_PRISM_FISHEYE":
        sx, sy = number(source, keys, "sx1", 0.0), number(source, keys, "sy1", 0.0)
        return Lens(model, size, (fx, fy, cx, cy, k1, k2, p1, p2, k3, k4, sx, sy))
    if model in FISHEYES or keys.get("is_fisheye") is True:
        return Lens("OPENCV_FISHEYE", size, (fx, fy, cx, cy, k1, k2, k3, k4))
    if k3 or k4 or k5 or k6:
        return Lens("FULL_OPENCV", size, (fx, fy, cx, cy, k1, k2, p1, p2, k3, k4, k5, k6))
    if k1 or k2 or p1 or p2:
        return Lens("OPENCV", size, (fx, fy, cx, cy, k1, k2, p1, p2))
    return Lens.pinhole(size, fx, fy, cx, cy)


def _size(source: Path, keys: Mapping[str, Any], image: Path) -> tuple[int, int]:
    if "w" in keys and "h" in keys:
        return round(number(source, keys, "w")), round(number(source, keys, "h"))
    return image_size(image) if is_there(image) else (1, 1)


def _focal(source: Path, keys: Mapping[str, Any], size: tuple[int, int]) -> tuple[float, float]:
    """fx and fy from focal lengths, else fields of view, else from one another."""
    found: list[float | None] = []
    for side, axis in zip(size, "xy", strict=True):
        if f"fl_{axis}" in keys:
            found.append(number(source, keys, f"fl_{axis}"))
        elif f"camera_angle_{axis}" in keys:
            found.append(0.5 * side / math.tan(0.5 * number(source, keys, f"camera_angle_{axis}")))
        else:
            found.append(None)
    fx, fy = found
    chosen = (fx or fy or 0.0, fy or fx or 0.0)
    if min(chosen) <= 0:
        raise BadInput.of(
            source,
            wanted="a positive focal length (fl_x) or field of view (camera_angle_x)",
            found="neither" if chosen == (0.0, 0.0) else str(min(chosen)),
            remedy="add the camera's intrinsics",
        )
    return chosen


def _split(file: _File, photographs: tuple[Photograph, ...]) -> Split | None:
    """nerfstudio's own lists; frames on none of them are left aside."""
    lists = {key: file.values.get(f"{key}_filenames") for key in ("train", "val", "test")}
    if not isinstance(lists["train"], list):
        return None
    held_out = lists["test"] or lists["val"] or []
    by_file = {photograph.path: photograph.name for photograph in photographs}

    def names(listed: list[str]) -> frozenset[str]:
        files = (_image_file(file.path.parent, str(entry)) for entry in listed)
        return frozenset(by_file[path] for path in files if path in by_file)

    return Split(names(lists["train"]), names(held_out))


def _points(file: _File) -> PointCloud | None:
    """nerfstudio's sparse points; they were moved together with the cameras."""
    name = file.values.get("ply_file_path")
    if not isinstance(name, str):
        return None
    path = file.path.parent / name
    if not is_there(path):
        raise BadInput.of(
            file.path,
            wanted=f"its points in {path}",
            found="no such file",
            remedy="remove 'ply_file_path' or add it",
        )
    return read_points(path).moved(file.world_from_file)


def _place(file: _File) -> tuple[Similarity, Bounds] | None:
    """instant-ngp's box where the file speaks of one."""
    if not {"aabb_scale", "scale", "offset"} & set(file.values):
        return None
    offset = file.values.get("offset", NGP_OFFSETS)
    if not isinstance(offset, list | tuple) or len(offset) != 3:
        raise BadInput.of(
            file.path,
            wanted="three numbers under 'offset'",
            found=repr(offset),
            remedy="correct or remove it",
        )
    x, y, z = (number(file.path, {"offset": value}, "offset") for value in offset)
    scale = number(file.path, file.values, "scale", NGP_SCALE)
    aabb_scale = number(file.path, file.values, "aabb_scale", 1.0)
    if scale <= 0 or not 1 <= aabb_scale <= 128:
        raise BadInput.of(
            file.path,
            wanted="a positive 'scale' and an 'aabb_scale' from 1 to 128",
            found=f"{scale} and {aabb_scale}",
            remedy="correct or remove them",
        )
    scene_from_file, bounds = ngp_placement(scale, (x, y, z), aabb_scale)
    return scene_from_file.after(file.world_from_file.inverse()), bounds
