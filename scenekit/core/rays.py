"""Rays, where they are marched, and the samples that fields are asked about."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from jaxtyping import Bool, Float, Int
from torch import Tensor

from scenekit.core.cameras import Cameras


class SeenBy(NamedTuple):
    """Which of some cameras each of R rays comes from."""

    cameras: Cameras
    owners: Int[Tensor, " R"]


@dataclass(frozen=True)
class Rays:
    """R rays, ``origin + distance * direction``.

    What few fields want to know is found when it is asked for.

    Attributes:
        origins, directions: directions have unit length.
        z_per_distance: depth along the camera's z for each unit of distance (the cosine to the axis).
        radii: radius of the pixel's footprint per unit of distance.
        seen_by: their cameras, if they come from some.
    """

    origins: Float[Tensor, "R 3"]
    directions: Float[Tensor, "R 3"]
    z_per_distance: Float[Tensor, " R"]
    radii: Float[Tensor, " R"]
    seen_by: SeenBy | None = None

    @property
    def times(self) -> Float[Tensor, " R"] | None:
        """Of the ray's camera, if the scene moves."""
        by = self.seen_by
        return None if by is None or by.cameras.times is None else by.cameras.times[by.owners]

    @property
    def view_ids(self) -> Int[Tensor, " R"] | None:
        """Of the ray's camera, if it is numbered."""
        by = self.seen_by
        return None if by is None or by.cameras.view_ids is None else by.cameras.view_ids[by.owners]


class Cells(NamedTuple):
    """Which cells of K nested cubes hold something.

    Attributes:
        occupied: cell [x, y, z] of cube k.
        packed: the same in bits, as marchers read it; kept by who marches through the same cells more than once.
    """

    occupied: Bool[Tensor, "K G G G"]
    packed: Int[Tensor, " W"] | None = None


class Way(NamedTuple):
    """Where R rays are marched, in the order in which ``kernels.march`` takes it.

    Attributes:
        near, far: the stretch of each ray that is looked at, in scene units.
        occupancy: empty cells are skipped.
        jitter: where in its first step each ray begins, in [0, 1).
        rule: the smallest and the largest step, and how steps grow with distance.
        max_samples: samples a ray has at most.
    """

    near: Float[Tensor, " R"]
    far: Float[Tensor, " R"]
    occupancy: Cells
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
        times = None if self.on_rays is None else self.on_rays.rays.times
        return None if times is None or self.on_rays is None else times[self.on_rays.owners]

    @property
    def view_ids(self) -> Int[Tensor, " S"] | None:
        """Of the sample's ray, if its camera is numbered."""
        ids = None if self.on_rays is None else self.on_rays.rays.view_ids
        return None if ids is None or self.on_rays is None else ids[self.on_rays.owners]

    @property
    def radii(self) -> Float[Tensor, " S"] | None:
        """Radius of the pixel's footprint at the sample, if it lies on a ray."""
        on = self.on_rays
        return None if on is None else on.rays.radii[on.owners] * on.distances
