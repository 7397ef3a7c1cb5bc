"""What ``benchmarks.neural_graphics`` renders: four applications, their encodings, and shapes that stay fixed.

Radiance fields on a grid are traced, as those that were trained are: tables and networks hold a ball. Elsewhere a field
asks an untrained network and answers with a shape.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from scenekit.core.bounds import Bounds
from scenekit.core.cameras import Cameras, look_at
from scenekit.core.protocols import Encoding, Field, ParameterGroup
from scenekit.kernels.grid_layout import GridLayout
from scenekit.kernels.mlp import mlp
from scenekit.renderers.flat import FlatRenderer
from scenekit.renderers.sphere_tracing import SphereTracer
from scenekit.renderers.volume import Marching, VolumeRenderer
from scenekit.representations import RBF, HashGrid, SimplexGrid
from scenekit.representations.grid_encoding import GridEncoding
from scenekit.representations.networks import layers
from scenekit.representations.radiance import RadianceField
from scenekit.representations.signal import VolumeField

# Width, height, and the target in milliseconds: 4k at 30 Hz for radiance fields, 60 Hz and 120 Hz for the rest.
FRAMES = {"1080p": (1920, 1080, 16.67), "4k": (3840, 2160, 33.3), "8k": (7680, 4320, 8.33)}
IMAGE_SIDE = 8192
Frame = Callable[[], int]


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


def encoding_of(name: str, app: Application, log2_table: int | None, device: torch.device) -> Encoding:
    """A fresh encoding for an application."""
    found: Any = ENCODINGS[name](app, app.log2_table if log2_table is None else log2_table)
    return found.to(device)


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
            return radius - RADIUS / 2
        return torch.cat([(radius < RADIUS / 2).float(), torch.full_like(values[:, 1:], 0.5)], -1)

    def counted(self, body: Callable[[], object]) -> int:
        """What the body asks for."""
        self.asked = 0
        body()
        return self.asked

    def parameter_groups(self) -> list[ParameterGroup]:
        """Nothing learns here."""
        return []


GRIDS = {"hash": HashGrid, "simplex": SimplexGrid}
RADIUS, SHARPNESS = 0.7, 460.0  # of the ball in the scene, and of the raw density's slope at its surface


def solid_ball(name: str, app: Application, log2_table: int | None, device: torch.device) -> RadianceField:
    """A radiance field whose coarsest level knows how far away the middle is; within two steps the ball is opaque.

    The rest of the tables and networks is as it was, and asked as ever.
    """
    rows = app.log2_table if log2_table is None else log2_table
    config = GRIDS[name](levels=16, features=2, log2_table=rows, finest=round(app.finest))
    field = config.build(Bounds(), torch.Generator().manual_seed(0)).to(device)
    encoding, (first, second) = field.encoding, field.networks.density_weights
    assert isinstance(encoding, GridEncoding)
    points = torch.rand(2**20, 3, generator=torch.Generator().manual_seed(0)).to(device)
    # Of every vertex the mean over the points around it, by its weights: what the backward pass adds up.
    gradient = torch.zeros(len(points), encoding.features, device=device)
    gradient[:, 0], gradient[:, 1] = 2 * (points - 0.5).norm(dim=-1), 1.0
    (sums,) = torch.autograd.grad(encoding(points), encoding.table, gradient)
    coarsest = slice(0, encoding.layout.offsets[1])
    with torch.no_grad():
        encoding.table[coarsest, 0] = sums[coarsest, 0] / sums[coarsest, 1].clamp(min=1e-9)
        encoding.table[coarsest, 1] = 1.0
        first[:2] = torch.eye(2, encoding.features, device=device)
        second[0] = 0.0
        second[0, :2] = torch.tensor([-SHARPNESS, SHARPNESS * RADIUS], device=device)
    return field


def frame_of(application: str, field: Fixed | RadianceField, size: tuple[int, int], device: torch.device) -> Frame:
    """What renders one frame and says how many samples it took."""
    camera = _camera(size).to(device)
    if isinstance(field, RadianceField):
        renderer = _marched(field).to(device)
        return lambda: renderer.render(camera).trace["samples"]
    if application == "image":
        flat = FlatRenderer(field, (IMAGE_SIDE, IMAGE_SIDE), linear=False)
        return lambda: field.counted(lambda: [None for _ in flat.bands(size)])
    if application == "sdf":
        surface = SphereTracer(field)
        return lambda: field.counted(lambda: surface.render(camera))
    # A solid ball as radiance fields have them, or a fog that rays go through.
    volume = _marched(VolumeField(field, (2, 2, 2), 400.0 if application == "nerf" else 6.0)).to(device)
    return lambda: field.counted(lambda: volume.render(camera))


def _marched(field: Field) -> VolumeRenderer:
    """Only the ball's cells are marched."""
    renderer = VolumeRenderer(field, Marching())
    grid = renderer.marching.grid
    axis = (torch.arange(grid) + 0.5) / grid * 2 - 1
    x, y, z = torch.meshgrid(axis, axis, axis, indexing="ij")
    renderer.occupancy.occupy(((x * x + y * y + z * z).sqrt() < RADIUS + 2 / grid)[None])
    return renderer


def _camera(size: tuple[int, int]) -> Cameras:
    eye, up = torch.tensor([0.0, 0.8, 2.4]), torch.tensor([0.0, 1.0, 0.0])
    focal = size[1] / 2 / math.tan(math.radians(20))
    intrinsics = torch.tensor([[focal, focal, size[0] / 2, size[1] / 2]])
    return Cameras(look_at(eye, torch.zeros(3), up)[None], intrinsics, (size,))
