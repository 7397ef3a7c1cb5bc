"""What differs between kinds of signals once they are read: how they are learnt, shown and judged."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from scenekit.core.cameras import Cameras, look_at
from scenekit.core.point_fields import PointField
from scenekit.core.protocols import Controller
from scenekit.core.transforms import Similarity
from scenekit.data.signals import Facts
from scenekit.data.signals.distances import FILLED
from scenekit.recipes.background import BackgroundChoice
from scenekit.renderers.background import BLACK, WHITE
from scenekit.renderers.flat import FlatRenderer, PanoramaRenderer
from scenekit.renderers.sphere_tracing import SphereTracer
from scenekit.renderers.volume import Marching, VolumeRenderer
from scenekit.representations.hash_grid import HashGrid
from scenekit.representations.signal import VolumeField
from scenekit.representations.sphere import Sphere
from scenekit.training.controllers.occupancy import OccupancyUpdates
from scenekit.training.judge_signals import judge_image, judge_panorama, judge_surface, judge_volume
from scenekit.training.losses import Loss, squared, squared_distances

SignalRenderer = FlatRenderer | PanoramaRenderer | SphereTracer | VolumeRenderer
VIEWS = 24  # cameras that a run of a signal keeps, for paths and the viewer
VIEW_SIZE = (640, 480)


@dataclass(frozen=True)
class SignalKind:
    """One kind of signal.

    Attributes:
        learning_rate: of its network.
        loss: over values.
        build: the renderer that shows a field of it.
        judge: figures of a field against the signal.
        cameras: from which it is looked at, in ``scene``.
        background: behind it.
        has_psnr: whether a target PSNR means anything.
        exact: whether half precision is too little for its values.
    """

    learning_rate: float
    loss: Loss
    build: Callable[[PointField, Facts], SignalRenderer]
    judge: Callable[[PointField, Any], dict[str, Any]]
    cameras: Callable[[], Cameras]
    background: BackgroundChoice
    has_psnr: bool = True
    exact: bool = False


def _flat(field: PointField, facts: Facts) -> FlatRenderer:
    return FlatRenderer(field, (facts.size[0], facts.size[1]), linear=facts.linear)


def _panorama(field: PointField, facts: Facts) -> PanoramaRenderer:
    return PanoramaRenderer(field, (facts.size[0], facts.size[1]), linear=facts.linear)


def _volume(field: PointField, facts: Facts) -> VolumeRenderer:
    return VolumeRenderer(VolumeField(field, facts.size, facts.scale), Marching(grid=64))


def _pinholes(poses: list[torch.Tensor], degrees: float) -> Cameras:
    width, height = VIEW_SIZE
    focal = height / 2 / math.tan(math.radians(degrees) / 2)
    intrinsics = torch.tensor([focal, focal, width / 2, height / 2], dtype=torch.float64)
    return Cameras(torch.stack(poses), intrinsics.expand(len(poses), 4).clone(), (VIEW_SIZE,) * len(poses))


def _around(up: int) -> Cameras:
    """A ring about the cube, a little above it."""
    poses = []
    for index in range(VIEWS):
        angle = 2 * math.pi * index / VIEWS
        eye = torch.empty(3, dtype=torch.float64)
        eye[up], eye[up - 2], eye[up - 1] = 0.8, 2.8 * math.cos(angle), 2.8 * math.sin(angle)
        above = torch.zeros(3, dtype=torch.float64)
        above[up] = 1
        poses.append(look_at(eye, torch.zeros(3, dtype=torch.float64), above))
    return _pinholes(poses, 45.0)


def _in_front() -> Cameras:
    eye = torch.tensor([0.0, 0.0, 2.5], dtype=torch.float64)
    up = torch.tensor([0.0, 1.0, 0.0], dtype=torch.float64)
    return _pinholes([look_at(eye, torch.zeros(3, dtype=torch.float64), up)], 45.0)


def _from_within() -> Cameras:
    """Standing in the middle and turning round."""
    up = torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64)
    angles = [2 * math.pi * index / VIEWS for index in range(VIEWS)]
    aims = [torch.tensor([math.cos(a), -math.sin(a), 0.0], dtype=torch.float64) for a in angles]
    return _pinholes([look_at(torch.zeros(3, dtype=torch.float64), aim, up) for aim in aims], 75.0)


KINDS: dict[str, SignalKind] = {
    "image": SignalKind(1e-2, squared, _flat, judge_image, _in_front, BackgroundChoice("given", WHITE)),
    "panorama": SignalKind(1e-2, squared, _panorama, judge_panorama, _from_within, BackgroundChoice("given", BLACK)),
    "surface": SignalKind(
        5e-3,
        squared_distances,
        lambda field, facts: SphereTracer(field),
        judge_surface,
        lambda: _around(1),
        BackgroundChoice("given", WHITE),
        has_psnr=False,
        exact=True,
    ),
    "volume": SignalKind(1e-2, squared, _volume, judge_volume, lambda: _around(2), BackgroundChoice("given", BLACK)),
}


def default_representation(facts: Facts) -> HashGrid | Sphere:
    """What a signal is learnt with where nobody says otherwise: a sphere for panoramas, else a hash grid.

    Its tables are no larger than the detail is worth: a row for every eight pixels or voxels; a surface passes
    through few of its cells.
    """
    if facts.kind == "panorama":
        return Sphere()
    rows = math.prod(facts.size) / 8 if facts.size else 2**17
    return HashGrid(log2_table=min(19, max(12, round(math.log2(rows)))))


def scene_from_file(facts: Facts) -> Similarity:
    """Where the file's coordinates are in ``scene``: surfaces keep theirs, other signals live in the cube."""
    if facts.kind != "surface":
        return Similarity.identity()
    return Similarity.of(2 * FILLED / facts.scale, torch.tensor(facts.centre, dtype=torch.float64))


def controllers_of(renderer: SignalRenderer) -> list[Controller]:
    """What acts between steps: volumes find out where they are empty."""
    if not isinstance(renderer, VolumeRenderer):
        return []
    return [OccupancyUpdates(renderer, interval=64, cells=renderer.occupancy.cells)]
