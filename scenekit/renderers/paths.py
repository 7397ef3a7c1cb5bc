"""Camera paths for videos: an orbit, a spiral, or poses from a file; all in ``world``, float64."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from scenekit.core.cameras import Cameras, look_at
from scenekit.core.checks import BadInput
from scenekit.renderers.path_files import read_path

Size = tuple[int, int]
TURNS = 2  # of a spiral
PULL = 1e-3  # how strongly a focus that the optical axes leave open keeps to the guessed distance


def camera_path(name: str, cameras: Cameras, *, count: int | None = None, size: Size | None = None) -> Cameras:
    """The cameras of a named path (a key of ``PATHS``) or of a path file.

    Args:
        name: "orbit", "spiral" or the path of a JSON file (see :mod:`scenekit.renderers.path_files`).
        cameras: of the photographs, float64 in ``world``; at least one.
        count: how many; 120 by default, or as many as the file has poses.
        size: (width, height) in pixels; that of the first photograph by default.

    Raises BadInput for an unknown name or a file that holds no path.
    """
    if len(cameras) == 0:
        raise BadInput("camera path: wanted at least one photograph to start from, found none; train on a capture")
    size = cameras.sizes[0] if size is None else size
    if name in PATHS:
        return PATHS[name](cameras, 120 if count is None else count, size)
    if not Path(name).exists() and not name.endswith(".json"):
        raise BadInput.of(
            f"path '{name}'",
            wanted=" or ".join([*PATHS, "a JSON file"]),
            found="neither",
            remedy="choose one of them",
        )
    poses, fields_of_view = read_path(Path(name), count)
    usual = torch.full((len(poses),), vertical_field_of_view(cameras), dtype=torch.float64)
    return _pinholes(poses, torch.where(fields_of_view.isnan(), usual, fields_of_view), size)


def orbit(cameras: Cameras, count: int, size: Size) -> Cameras:
    """One turn about the focus, at the photographs' mean height and distance, looking at the focus."""
    target, up = focus(cameras), up_direction(cameras)
    offsets = cameras.centres.double() - target
    heights = offsets @ up
    flat = offsets - heights[:, None] * up
    distance = float(offsets.norm(dim=-1).mean())
    radius = max(float(flat.norm(dim=-1).mean()), 0.1 * distance)
    ahead = flat[0] if float(flat[0].norm()) > 1e-9 * distance else _across(up)
    ahead = torch.nn.functional.normalize(ahead, dim=0)
    aside = torch.linalg.cross(up, ahead)
    centre = target + float(heights.mean()) * up
    poses = []
    for index in range(count):
        angle = 2 * math.pi * index / count
        eye = centre + radius * (math.cos(angle) * ahead + math.sin(angle) * aside)
        poses.append(look_at(eye, target, up))
    return _alike(torch.stack(poses), cameras, size)


def spiral(cameras: Cameras, count: int, size: Size) -> Cameras:
    """Two turns about the mean photograph, as wide as the photographs spread, looking at the focus.

    The path of Local Light Field Fusion, for captures whose photographs all face one way; it closes.
    """
    target, up = focus(cameras), up_direction(cameras)
    centre = cameras.centres.double().mean(0)
    if float((target - centre).norm()) < 1e-9:  # photographs all round: look where the first one looks
        target = centre + cameras.forward[0].double()
    middle = look_at(centre, target, up)
    depth = float((target - centre).norm())
    spread = ((cameras.centres.double() - centre) @ middle[:, :3]).abs()
    radii = torch.quantile(spread, 0.9, dim=0).clamp(max=0.8 * depth)
    radii = torch.where(radii < 1e-3 * depth, torch.full_like(radii, 0.1 * depth), radii)
    poses = []
    for index in range(count):
        angle = 2 * math.pi * TURNS * index / count
        swing = torch.tensor([math.cos(angle), math.sin(angle), math.sin(angle / TURNS)], dtype=torch.float64)
        poses.append(look_at(centre + middle[:, :3] @ (swing * radii), target, up))
    return _alike(torch.stack(poses), cameras, size)


PATHS: dict[str, Callable[[Cameras, int, Size], Cameras]] = {"orbit": orbit, "spiral": spiral}


def up_direction(cameras: Cameras) -> Float[Tensor, "3"]:
    """The photographs' mean up, a unit vector; that of the first one where they cancel out."""
    ups = -cameras.world_from_camera[..., 1].double()
    mean = ups.mean(0)
    return torch.nn.functional.normalize(mean if float(mean.norm()) > 1e-3 else ups[0], dim=0)


def focus(cameras: Cameras) -> Float[Tensor, "3"]:
    """The point that the photographs look at, in ``world``: the one nearest to all optical axes.

    Where the axes leave the distance open (one camera, parallel axes) it lies ahead of the mean camera, as
    far as three times the cameras' spread. Cameras that look away from each other have their mean centre.
    """
    centres, forward = cameras.centres.double(), cameras.forward.double()
    middle, ahead = centres.mean(0), forward.mean(0)
    spread = float((centres - middle).norm(dim=-1).mean())
    guess = middle + ahead * (3 * spread if spread > 1e-9 else 1.0)
    across = torch.eye(3, dtype=torch.float64) - forward[:, :, None] * forward[:, None, :]
    matrix = across.mean(0) + PULL * torch.eye(3, dtype=torch.float64)
    point = torch.linalg.solve(matrix, (across @ centres[:, :, None]).mean(0).squeeze(-1) + PULL * guess)
    facing = ((point - centres) * forward).sum(-1) > 0
    if bool(facing.double().mean() > 0.5):
        return point
    return guess if float(ahead.norm()) > 0.5 else middle


def vertical_field_of_view(cameras: Cameras) -> float:
    """The photographs' median vertical field of view, in radians."""
    heights = torch.tensor([height for _, height in cameras.sizes], dtype=torch.float64)
    return float((2 * torch.atan(heights / (2 * cameras.intrinsics[:, 1].double()))).median())


def _across(direction: Tensor) -> Tensor:
    axis = torch.zeros(3, dtype=torch.float64)
    axis[int(direction.abs().argmin())] = 1
    return torch.linalg.cross(direction, axis)


def _alike(poses: Tensor, cameras: Cameras, size: Size) -> Cameras:
    angle = vertical_field_of_view(cameras)
    return _pinholes(poses, torch.full((len(poses),), angle, dtype=torch.float64), size)


def _pinholes(poses: Tensor, fields_of_view: Tensor, size: Size) -> Cameras:
    width, height = size
    focal = height / (2 * torch.tan(fields_of_view / 2))
    middle = torch.full_like(focal, 0.5)
    intrinsics = torch.stack([focal, focal, middle * width, middle * height], -1)
    return Cameras(poses, intrinsics, (size,) * len(poses))
