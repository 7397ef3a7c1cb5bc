"""Rays of pixels, and the samples that fields are asked about."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from scenekit.core.cameras import Cameras, Pixels
from scenekit.core.lenses import PINHOLE, sight


@dataclass(frozen=True)
class Rays:
    """R rays, ``origin + distance * direction``.

    Attributes:
        origins, directions: directions have unit length.
        z_per_distance: depth along the camera's z for each unit of distance (the cosine to the axis).
        radii: radius of the pixel's footprint per unit of distance.
        times, view_ids: carried over from the cameras.
    """

    origins: Float[Tensor, "R 3"]
    directions: Float[Tensor, "R 3"]
    z_per_distance: Float[Tensor, " R"]
    radii: Float[Tensor, " R"]
    times: Float[Tensor, " R"] | None = None
    view_ids: Int[Tensor, " R"] | None = None


class Way(NamedTuple):
    """Where R rays are marched, in the order in which ``kernels.march`` takes it.

    Attributes:
        near, far: the stretch of each ray that is looked at, in scene units.
        occupancy: what cells hold something, in K nested cubes; empty ones are skipped.
        jitter: where in its first step each ray begins, in [0, 1).
        rule: the smallest and the largest step, and how steps grow with distance.
        max_samples: samples a ray has at most.
    """

    near: Float[Tensor, " R"]
    far: Float[Tensor, " R"]
    occupancy: Bool[Tensor, "K G G G"]
    jitter: Float[Tensor, " R"]
    rule: tuple[float, float, float]
    max_samples: int


class OnRays(NamedTuple):
    """Where samples lie: on whose ray, how far along it."""

    rays: Rays
    owners: Int[Tensor, " S"]
    distances: Float[Tensor, " S"]


@dataclass(frozen=True)
class Samples:
    """S points on rays, packed ray after ray: what a field is asked about.

    What few fields want to know is found when it is asked for.

    Attributes:
        positions: in ``scene``.
        directions: unit viewing directions, away from the camera.
        deltas: length of the step that a sample stands for.
        on_rays: where they lie, if they lie on rays.
    """

    positions: Float[Tensor, "S 3"]
    directions: Float[Tensor, "S 3"]
    deltas: Float[Tensor, " S"]
    on_rays: OnRays | None = None

    def __len__(self) -> int:
        return self.positions.shape[0]

    def __getitem__(self, rows: slice | Tensor) -> Samples:
        """Some of the samples."""
        on = self.on_rays
        kept = None if on is None else OnRays(on.rays, on.owners[rows], on.distances[rows])
        return Samples(self.positions[rows], self.directions[rows], self.deltas[rows], kept)

    @property
    def times(self) -> Float[Tensor, " S"] | None:
        """Of the sample's ray, if the scene moves."""
        on = self.on_rays
        return None if on is None or on.rays.times is None else on.rays.times[on.owners]

    @property
    def view_ids(self) -> Int[Tensor, " S"] | None:
        """Of the sample's ray, if its camera is numbered."""
        on = self.on_rays
        return None if on is None or on.rays.view_ids is None else on.rays.view_ids[on.owners]

    @property
    def radii(self) -> Float[Tensor, " S"] | None:
        """Radius of the pixel's footprint at the sample, if it lies on a ray."""
        on = self.on_rays
        return None if on is None else on.rays.radii[on.owners] * on.distances


def rays_of(cameras: Cameras, pixels: Pixels) -> Rays:
    """Cast a ray through every pixel, exactly as its camera's lens does.

    A pinhole's direction is ``R [(u - cx) / fx, (v - cy) / fy, 1]``; other lenses: :mod:`scenekit.core.lenses`.
    """
    if not cameras.are_pinholes:
        return _through_lenses(cameras, pixels)
    fx, fy, cx, cy = cameras.intrinsics[pixels.cameras].unbind(-1)
    u, v = pixels.positions.unbind(-1)
    local = torch.stack([(u - cx) / fx, (v - cy) / fy, torch.ones_like(u)], -1)
    length = local.square().sum(-1).sqrt()
    pose = cameras.world_from_camera[pixels.cameras]
    directions = (pose[..., :3] * local[..., None, :]).sum(-1) / length[..., None]
    return Rays(
        origins=pose[..., 3],
        directions=directions,
        z_per_distance=1 / length,
        # A unit pixel has the area of a disc of radius 1 / sqrt(pi); fx and fy differ little.
        radii=(torch.pi * fx * fy).rsqrt() / length,
        times=None if cameras.times is None else cameras.times[pixels.cameras],
        view_ids=None if cameras.view_ids is None else cameras.view_ids[pixels.cameras],
    )


def _through_lenses(cameras: Cameras, pixels: Pixels) -> Rays:
    """Cameras of one lens at a time; the footprint is that of the image's middle."""
    every = [lens or PINHOLE for lens in cameras.lenses or ()]
    origins, directions = (pixels.positions.new_zeros(len(pixels), 3) for _ in range(2))
    along = pixels.positions.new_zeros(len(pixels))
    sizes = torch.tensor(cameras.sizes).to(pixels.positions)
    for lens in dict.fromkeys(every):
        owners = torch.tensor([found == lens for found in every], device=pixels.cameras.device)
        rows = torch.nonzero(owners[pixels.cameras])[:, 0]
        cameras_of = pixels.cameras[rows]
        seen = sight(lens, cameras.intrinsics[cameras_of], sizes[cameras_of], pixels.positions[rows])
        origins = origins.index_copy(0, rows, seen[0])
        directions = directions.index_copy(0, rows, seen[1])
        along = along.index_copy(0, rows, seen[2])
    pose = cameras.world_from_camera[pixels.cameras]
    fx, fy, _, _ = cameras.intrinsics[pixels.cameras].unbind(-1)
    return Rays(
        origins=(pose[..., :3] @ origins[..., None]).squeeze(-1) + pose[..., 3],
        directions=(pose[..., :3] @ directions[..., None]).squeeze(-1),
        z_per_distance=along,
        radii=(torch.pi * fx * fy).rsqrt(),
        times=None if cameras.times is None else cameras.times[pixels.cameras],
        view_ids=None if cameras.view_ids is None else cameras.view_ids[pixels.cameras],
    )
