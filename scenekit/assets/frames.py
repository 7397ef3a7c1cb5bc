"""Frames of files: which axis is up, and how large a unit is, where the user asks for another than ``world``."""

from __future__ import annotations

import math
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from scenekit.assets.splats.packing import HALF_TURNS
from scenekit.core.cameras import Cameras
from scenekit.core.transforms import Similarity
from scenekit.renderers.paths import up_direction

Axis = Literal["x", "y", "z", "-x", "-y", "-z"]
# Photographs point up or down as they like; an axis of the world within this angle of their mean up is meant.
NEARLY_AN_AXIS = math.radians(20)


def direction(axis: Axis) -> Float[Tensor, "3"]:
    """The unit vector of an axis."""
    vector = torch.zeros(3, dtype=torch.float64)
    vector["xyz".index(axis[-1])] = -1.0 if axis.startswith("-") else 1.0
    return vector


def world_up(cameras: Cameras) -> Float[Tensor, "3"]:
    """Which way is up in ``world``: the photographs' mean up, or the axis of the world that it nearly is."""
    up = up_direction(cameras)
    nearest = torch.zeros(3, dtype=torch.float64)
    largest = int(up.abs().argmax())
    nearest[largest] = up[largest].sign()
    return nearest if float(up @ nearest) > math.cos(NEARLY_AN_AXIS) else up


def file_from_world(cameras: Cameras, up: Axis | None, scale: float, half_turn: str | None = None) -> Similarity:
    """How a file's frame follows from ``world``.

    Args:
        cameras: of the photographs, in ``world``; they say which way is up.
        up: which axis of the file points up; None leaves the axes alone.
        scale: units of the file in a unit of the world.
        half_turn: axis about which the format is turned when it is written, which ``up`` has to foresee.
    """
    if up is None:
        return Similarity.of(scale)
    wanted = direction(up)
    if half_turn is not None:
        wanted = wanted * torch.tensor(HALF_TURNS[half_turn], dtype=torch.float64)
    return Similarity.of(scale, rotation=shortest_turn(world_up(cameras), wanted))


def shortest_turn(start: Float[Tensor, "3"], end: Float[Tensor, "3"]) -> Float[Tensor, "3 3"]:
    """The rotation by the least angle that takes one unit vector to another; quarter and half turns are exact.

    ``R = I + [v] + [v]^2 / (1 + c)`` with v = start x end and c = start . end (Rodrigues); opposite vectors turn
    about an axis across them.
    """
    across, cosine = torch.linalg.cross(start, end), float(start @ end)
    if cosine < -1 + 1e-9:
        axis = torch.zeros(3, dtype=torch.float64)
        axis[int(start.abs().argmin())] = 1
        axis = torch.nn.functional.normalize(axis - (axis @ start) * start, dim=0)
        return 2 * axis[:, None] * axis[None, :] - torch.eye(3, dtype=torch.float64)
    x, y, z = (float(value) for value in across)
    skew = torch.tensor([[0, -z, y], [z, 0, -x], [-y, x, 0]], dtype=torch.float64)
    return torch.eye(3, dtype=torch.float64) + skew + skew @ skew / (1 + cosine)
