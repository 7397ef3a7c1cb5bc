"""What ``benchmarks.neural_graphics`` renders: four applications, their encodings, and shapes that stay fixed."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from scenekit.core.cameras import Cameras, look_at
from scenekit.core.protocols import Encoding, ParameterGroup
from scenekit.kernels.grid_layout import GridLayout
from scenekit.kernels.mlp import mlp
from scenekit.renderers.flat import FlatRenderer
from scenekit.renderers.sphere_tracing import SphereTracer
from scenekit.renderers.volume import Marching, VolumeRenderer
from scenekit.representations import RBF, HashGrid, SimplexGrid
from scenekit.representations.grid_field import GridEncoding
from scenekit.representations.networks import layers
from scenekit.representations.signal import VolumeField

# Width, height, and the target in milliseconds: 4k at 30 Hz for radiance fields, 60 Hz and 120 Hz for the rest.
FRAMES = {"1080p": (1920, 1080, 16.67), "4k": (3840, 2160, 33.3), "8k": (7680, 4320, 8.33)}
IMAGE_SIDE = 8192


@dataclass(frozen=True)
class Application:
    """Sizes after the paper's table: ``finest`` in cells a side; ``hidden`` layers of 64."""

    dimensions: int
    finest: float
    log2_table: int
    hidden: int
    outputs: int


APPLICATIONS = {
    "nerf": Application(3, 8192, 19, 3, 4),
    "sdf": Application(3, 2048, 19, 2, 1),
    "volume": Application(3, 612, 19, 2, 4),
    "image": Application(2, IMAGE_SIDE / 2, 22, 2, 3),
}


def _hash(app: Application, log2_table: int) -> Encoding:
    return HashGrid(levels=16, features=2, log2_table=log2_table).encoding(app.dimensions, app.finest)


def _simplex(app: Application, log2_table: int) -> Encoding:
    return SimplexGrid(levels=16, features=2, log2_table=log2_table).encoding(app.dimensions, app.finest)


def _rbf(app: Application, log2_table: int) -> Encoding:
    return RBF(levels=16, features=2, log2_table=log2_table).encoding(app.dimensions, app.finest)


def _multi_dense(app: Application, log2_table: int) -> Encoding:
    """Eight levels of 16 to 173 vertices a side, none hashed."""
    layout = GridLayout.of(app.dimensions, levels=8, log2_table=26, base_resolution=16, growth=1.405)
    return GridEncoding(layout, 2, 1e-2, None)


def _low_dense(app: Application, log2_table: int) -> Encoding:
    """Two levels of 128 vertices a side, with eight features each."""
    layout = GridLayout.of(app.dimensions, levels=2, log2_table=26, base_resolution=128, growth=1.0)
    return GridEncoding(layout, 8, 1e-2, None)


ENCODINGS: dict[str, Callable[[Application, int], Encoding]] = {
    "hash": _hash,
    "multi_dense": _multi_dense,
    "low_dense": _low_dense,
    "simplex": _simplex,
    "rbf": _rbf,
}


def encoding_of(name: str, app: Application, log2_table: int | None) -> Encoding:
    """A fresh encoding for an application."""
    return ENCODINGS[name](app, app.log2_table if log2_table is None else log2_table)


@dataclass
class Clock:
    """Seconds spent in the two kernels."""

    encoding: float = 0.0
    network: float = 0.0

    def reset(self) -> None:
        """Begin again."""
        self.encoding = self.network = 0.0


class Fixed(nn.Module):
    """A point field that asks its network and answers with a fixed shape, so that frames have honest samples."""

    def __init__(self, encoding: Encoding, app: Application, clock: Clock) -> None:
        super().__init__()
        self.encoding = encoding
        self.app = app
        self.clock = clock
        self.asked = 0
        self.dimensions, self.channels = app.dimensions, app.outputs
        self.weights = layers([encoding.features, *[64] * app.hidden, app.outputs], torch.Generator().manual_seed(0))

    def forward(self, positions: Tensor) -> Tensor:
        """The shape's values; the network's are computed and left out."""
        self.asked += len(positions)
        start = time.perf_counter()
        features = self.encoding(positions)
        between = time.perf_counter()
        values = mlp(features, tuple(self.weights))
        self.clock.encoding += between - start
        self.clock.network += time.perf_counter() - between
        if self.dimensions == 2:
            return values
        radius = (positions - 0.5).norm(dim=-1, keepdim=True)
        if self.channels == 1:
            return radius - 0.35
        return torch.cat([(radius < 0.35).float(), torch.full_like(values[:, 1:], 0.5)], -1)

    def parameter_groups(self) -> list[ParameterGroup]:
        """Nothing learns here."""
        return []


def frame_of(application: str, field: Fixed, size: tuple[int, int]) -> int:
    """Render one frame; how many samples its network was asked for."""
    field.asked = 0
    with torch.no_grad():
        if application == "image":
            for _ in FlatRenderer(field, (IMAGE_SIDE, IMAGE_SIDE), linear=False).bands(size):
                pass
        elif application == "sdf":
            SphereTracer(field).render(_camera(size))
        else:
            _marched(field, dense=application == "nerf").render(_camera(size))
    return field.asked


def _marched(field: Fixed, *, dense: bool) -> VolumeRenderer:
    """A solid ball as radiance fields have them, or a fog that rays go through; only the ball's cells are marched."""
    renderer = VolumeRenderer(VolumeField(field, (2, 2, 2), 400.0 if dense else 6.0), Marching())
    grid = renderer.marching.grid
    axis = (torch.arange(grid) + 0.5) / grid * 2 - 1
    x, y, z = torch.meshgrid(axis, axis, axis, indexing="ij")
    renderer.occupancy.occupied.copy_(((x * x + y * y + z * z).sqrt() < 0.7 + 2 / grid)[None])
    return renderer


def _camera(size: tuple[int, int]) -> Cameras:
    eye, up = torch.tensor([0.0, 0.8, 2.4]), torch.tensor([0.0, 1.0, 0.0])
    focal = size[1] / 2 / math.tan(math.radians(20))
    intrinsics = torch.tensor([[focal, focal, size[0] / 2, size[1] / 2]])
    return Cameras(look_at(eye, torch.zeros(3), up)[None], intrinsics, (size,))
