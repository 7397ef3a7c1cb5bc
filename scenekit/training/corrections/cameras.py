"""Poses and intrinsics that are learnt with the scene (BARF, Lin et al. 2021; the tangent is so(3) x R^3)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from scenekit.core.cameras import Cameras
from scenekit.core.protocols import Batch, ParameterGroup, Rendering
from scenekit.core.schedules import exponential
from scenekit.core.transforms import matrix_from_quaternion


class Poses(nn.Module):
    """A small turn and shift for every photograph: ``R' = R exp(turn)``, ``centre' = centre + shift`` in scene units.

    ``count`` is the number of photographs of the capture, which ``Cameras.view_ids`` index. The pose of a camera
    without a view id stays as it is.
    """

    recordable: ClassVar[bool] = True

    def __init__(self, count: int, learning_rate: float = 1e-3) -> None:
        super().__init__()
        self.learning_rate = learning_rate
        self.turns = nn.Parameter(torch.zeros(count, 3))
        self.shifts = nn.Parameter(torch.zeros(count, 3))

    def cameras(self, cameras: Cameras) -> Cameras:
        """The cameras where they are now thought to stand; gradients reach turns and shifts."""
        if cameras.view_ids is None:
            return cameras
        poses = moved(cameras.world_from_camera, self.turns[cameras.view_ids], self.shifts[cameras.view_ids])
        return replace(cameras, world_from_camera=poses)

    def rendering(self, rendering: Rendering, batch: Batch) -> Rendering:
        """As it is."""
        return rendering

    def loss(self, rendering: Rendering, batch: Batch) -> Mapping[str, Tensor]:
        """None: the photographs alone say where the cameras stood."""
        return {}

    def parameter_groups(self) -> list[ParameterGroup]:
        """Photographs that were not looked at keep their poses and moments."""
        rate = exponential(self.learning_rate, self.learning_rate / 100, warm_up=0.05)
        named = {"poses.turns": self.turns, "poses.shifts": self.shifts}
        return [ParameterGroup("poses", named, rate, betas=(0.9, 0.99), sparse=True)]


def moved(
    poses: Float[Tensor, "C 3 4"], turns: Float[Tensor, "C 3"], shifts: Float[Tensor, "C 3"]
) -> Float[Tensor, "C 3 4"]:
    """Poses turned about their own centres and shifted; a turn's length is its angle in radians, to second order."""
    quaternions = torch.cat([torch.ones_like(turns[:, :1]), turns / 2], -1)
    rotations = poses[..., :3] @ matrix_from_quaternion(quaternions).to(poses)
    return torch.cat([rotations, poses[..., 3:] + shifts.to(poses)[..., None]], -1)


class Intrinsics(nn.Module):
    """One focal length and principal point for the whole capture: ``f' = f exp(a)``, ``c' = c + b * size``."""

    recordable: ClassVar[bool] = True

    def __init__(self, learning_rate: float = 2e-4) -> None:
        super().__init__()
        self.learning_rate = learning_rate
        self.log_focal = nn.Parameter(torch.zeros(2))
        self.principal = nn.Parameter(torch.zeros(2))

    def cameras(self, cameras: Cameras) -> Cameras:
        """The cameras with the lens they are now thought to have."""
        sizes = cameras.extents
        focal = cameras.intrinsics[:, :2] * self.log_focal.exp().to(cameras.intrinsics)
        principal = cameras.intrinsics[:, 2:] + self.principal.to(cameras.intrinsics) * sizes
        return replace(cameras, intrinsics=torch.cat([focal, principal], -1))

    def rendering(self, rendering: Rendering, batch: Batch) -> Rendering:
        """As it is."""
        return rendering

    def loss(self, rendering: Rendering, batch: Batch) -> Mapping[str, Tensor]:
        """None."""
        return {}

    def parameter_groups(self) -> list[ParameterGroup]:
        """Slowly: all photographs pull at these four numbers."""
        rate = exponential(self.learning_rate, self.learning_rate / 100, warm_up=0.1)
        named = {"intrinsics.log_focal": self.log_focal, "intrinsics.principal": self.principal}
        return [ParameterGroup("intrinsics", named, rate, betas=(0.9, 0.99))]
