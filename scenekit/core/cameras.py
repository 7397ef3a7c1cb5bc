"""Cameras in batches: OpenCV axes (x right, y down, z forward), pixel centres at +0.5; pinholes or other lenses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from scenekit.core.constants import constant
from scenekit.core.lenses import Lens
from scenekit.core.transforms import Similarity, invert_rigid


@dataclass(frozen=True)
class Cameras:
    """C cameras. In a capture the poses are float64 in ``world``; a renderer takes float32 in ``scene``.

    Attributes:
        world_from_camera: rotation and centre of each camera.
        intrinsics: fx, fy, cx, cy in pixels.
        sizes: (width, height) of each camera's image, in pixels.
        times: capture time of each image in [0, 1], if the scene moves.
        view_ids: index of the photograph a camera took, for what is learned per photograph.
        lenses: of each camera, None for a pinhole; None where all are pinholes.
    """

    world_from_camera: Float[Tensor, "C 3 4"]
    intrinsics: Float[Tensor, "C 4"]
    sizes: tuple[tuple[int, int], ...]
    times: Float[Tensor, " C"] | None = None
    view_ids: Int[Tensor, " C"] | None = None
    lenses: tuple[Lens | None, ...] | None = None

    def __len__(self) -> int:
        return len(self.sizes)

    def __getitem__(self, index: int | slice | Sequence[int]) -> Cameras:
        """Cameras of an index, a slice or a list of indices; always a batch, a view for the first two."""
        if isinstance(index, int):
            index = slice(index, index + 1 or None)
        # A list would go to the GPU as a tensor, and the host wait for that.
        rows = index if isinstance(index, slice) else list(index)
        numbers = range(len(self))[rows] if isinstance(rows, slice) else rows
        return Cameras(
            self.world_from_camera[rows],
            self.intrinsics[rows],
            tuple(self.sizes[row] for row in numbers),
            None if self.times is None else self.times[rows],
            None if self.view_ids is None else self.view_ids[rows],
            None if self.lenses is None else tuple(self.lenses[row] for row in numbers),
        )

    @staticmethod
    def joined(batches: Sequence[Cameras]) -> Cameras:
        """One batch of several; with times and view ids where all have these."""
        times = [batch.times for batch in batches if batch.times is not None]
        ids = [batch.view_ids for batch in batches if batch.view_ids is not None]
        lenses = tuple(batch.lens(index) for batch in batches for index in range(len(batch)))
        return Cameras(
            torch.cat([batch.world_from_camera for batch in batches]),
            torch.cat([batch.intrinsics for batch in batches]),
            tuple(size for batch in batches for size in batch.sizes),
            torch.cat(times) if len(times) == len(batches) else None,
            torch.cat(ids) if len(ids) == len(batches) else None,
            None if all(lens is None for lens in lenses) else lenses,
        )

    @property
    def centres(self) -> Float[Tensor, "C 3"]:
        """Centres of projection."""
        return self.world_from_camera[..., 3]

    @property
    def forward(self) -> Float[Tensor, "C 3"]:
        """Unit viewing directions."""
        return self.world_from_camera[..., 2]

    @property
    def camera_from_world(self) -> Float[Tensor, "C 3 4"]:
        """The inverse poses."""
        return invert_rigid(self.world_from_camera)

    def lens(self, index: int) -> Lens | None:
        """Of one camera; None for a pinhole."""
        return None if self.lenses is None else self.lenses[index]

    @property
    def are_pinholes(self) -> bool:
        """Whether no camera has another lens."""
        return self.lenses is None or all(lens is None for lens in self.lenses)

    @property
    def extents(self) -> Float[Tensor, "C 2"]:
        """Widths and heights, beside the intrinsics."""
        flat = tuple(float(side) for size in self.sizes for side in size)
        return constant(flat, self.intrinsics.device, self.intrinsics.dtype).view(-1, 2)

    def resized(self, sizes: Sequence[tuple[int, int]]) -> Cameras:
        """The same views at other image sizes; the intrinsics follow exactly, width and height apart."""
        flat = tuple(
            factor
            for new, old in zip(sizes, self.sizes, strict=True)
            for factor in (new[0] / old[0], new[1] / old[1], new[0] / old[0], new[1] / old[1])
        )
        factors = constant(flat, self.intrinsics.device, self.intrinsics.dtype).view(len(sizes), 4)
        return replace(self, intrinsics=self.intrinsics * factors, sizes=tuple(sizes))

    def moved(self, b_from_a: Similarity) -> Cameras:
        """The cameras after a change of frame, computed in float64; orthographic ones count pixels per unit of it."""
        intrinsics = self.intrinsics
        parallel = [lens is not None and lens.kind == "orthographic" for lens in self.lenses or ()]
        if any(parallel):
            intrinsics = intrinsics.clone()
            intrinsics[torch.tensor(parallel, device=intrinsics.device), :2] /= b_from_a.scale
        return replace(self, world_from_camera=b_from_a.poses(self.world_from_camera), intrinsics=intrinsics)

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> Cameras:
        """On another device or with another floating dtype."""
        return replace(
            self,
            world_from_camera=self.world_from_camera.to(device, dtype),
            intrinsics=self.intrinsics.to(device, dtype),
            times=None if self.times is None else self.times.to(device, dtype),
            view_ids=None if self.view_ids is None else self.view_ids.to(device),
        )


@dataclass(frozen=True)
class Pixels:
    """R pixels of a batch of cameras: which camera, and where in its image (pixel centres at +0.5)."""

    cameras: Int[Tensor, " R"]
    positions: Float[Tensor, "R 2"]

    def __len__(self) -> int:
        return self.cameras.shape[0]

    def __getitem__(self, rows: slice | Tensor) -> Pixels:
        """Some of the pixels."""
        return Pixels(self.cameras[rows], self.positions[rows])

    def to(self, device: torch.device | str) -> Pixels:
        """On another device."""
        return Pixels(self.cameras.to(device), self.positions.to(device))


def every_pixel(cameras: Cameras) -> Pixels:
    """All pixels of all cameras, camera by camera, row by row."""
    device, dtype = cameras.intrinsics.device, cameras.intrinsics.dtype
    owners: list[Tensor] = []
    positions: list[Tensor] = []
    for index, (width, height) in enumerate(cameras.sizes):
        v, u = torch.meshgrid(
            torch.arange(height, device=device, dtype=dtype),
            torch.arange(width, device=device, dtype=dtype),
            indexing="ij",
        )
        positions.append(torch.stack([u + 0.5, v + 0.5], -1).reshape(-1, 2))
        owners.append(torch.full((width * height,), index, device=device, dtype=torch.int64))
    if not owners:
        return Pixels(torch.zeros(0, dtype=torch.int64, device=device), torch.zeros(0, 2, device=device, dtype=dtype))
    return Pixels(torch.cat(owners), torch.cat(positions))


def look_at(centre: Float[Tensor, "3"], target: Float[Tensor, "3"], up: Float[Tensor, "3"]) -> Float[Tensor, "3 4"]:
    """Pose of a camera at ``centre`` that looks at ``target`` with ``up`` towards the top of its image."""
    forward = torch.nn.functional.normalize(target - centre, dim=0)
    right = torch.cross(forward, up, dim=0)
    if float(right.square().sum()) < 1e-12:  # looking along up: any right-hand direction serves
        right = torch.cross(forward, torch.roll(up, 1), dim=0)
    right = torch.nn.functional.normalize(right, dim=0)
    down = torch.cross(forward, right, dim=0)
    return torch.stack([right, down, forward, centre], -1)
