"""Points, lines and meshes beside a scene, and the photographs' cameras as frustums."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from scenekit.assets.web.chunks import Chunk
from scenekit.core.cameras import Cameras
from scenekit.core.transforms import Similarity

CHUNK_VERTICES = 1 << 16
FRUSTUM_COLOR = (1.0, 0.75, 0.2)


@dataclass(frozen=True)
class Shape:
    """V opaque vertices in ``world``: V points, V / 2 lines, or a mesh of T triangles.

    Attributes:
        kind: how the vertices are joined.
        name: shown in the page.
        positions: in ``world``.
        colors: sRGB in [0, 1].
        triangles: rows of ``positions``; of meshes alone.
        pixels: width of a point.
        visible: at first.
    """

    kind: Literal["points", "lines", "mesh"]
    name: str
    positions: Float[Tensor, "V 3"]
    colors: Float[Tensor, "V 3"]
    triangles: Int[Tensor, "T 3"] = field(default_factory=lambda: torch.zeros(0, 3, dtype=torch.int64))
    pixels: float = 3.0
    visible: bool = True


def shape_node(shape: Shape, page_from_world: Similarity) -> tuple[dict[str, Any], list[Chunk]]:
    """What the manifest says about a shape, and its chunks: positions as float32, then colours as 4 x uint8."""
    positions = page_from_world.points(shape.positions.double()).float()
    colors = (shape.colors.clamp(0, 1) * 255).round().to(torch.uint8)
    colors = torch.cat([colors, torch.full_like(colors[:, :1], 255)], 1)
    chunks = [
        Chunk("vertices", 1, positions[begin:end].numpy().tobytes() + colors[begin:end].numpy().tobytes(), values)
        for begin, end, values in _parts(len(positions))
    ]
    chunks += [
        Chunk("triangles", 1, shape.triangles[begin:end].int().numpy().tobytes(), values)
        for begin, end, values in _parts(len(shape.triangles))
    ]
    node = {"kind": shape.kind, "name": shape.name, "visible": shape.visible, "count": len(positions)}
    if shape.kind == "mesh":
        node["triangles"] = len(shape.triangles)
    if shape.kind == "points":
        node["pixels"] = shape.pixels
    return node, chunks


def frustums(cameras: Cameras, length: float) -> Shape:
    """The pyramids that cameras see, ``length`` deep in world units; eight lines each, hidden at first."""
    sizes = torch.tensor(cameras.sizes, dtype=torch.float64).reshape(-1, 2)
    focal, centre = cameras.intrinsics[:, :2].double(), cameras.intrinsics[:, 2:].double()
    unit = torch.tensor([[0, 0], [1, 0], [1, 1], [0, 1]], dtype=torch.float64)
    slopes = (unit * sizes[:, None] - centre[:, None]) / focal[:, None]
    local = torch.cat([slopes, torch.ones_like(slopes[..., :1])], -1) * length
    poses = cameras.world_from_camera.double()
    corners = local @ poses[:, :, :3].transpose(1, 2) + poses[:, None, :, 3]
    eyes = poses[:, None, :, 3].expand_as(corners)
    lines = torch.stack([eyes, corners, corners, corners.roll(-1, 1)], 2).reshape(-1, 3)
    colors = torch.tensor(FRUSTUM_COLOR).expand(len(lines), 3)
    return Shape("lines", "photographs", lines, colors, visible=False)


def _parts(count: int) -> Iterator[tuple[int, int, dict[str, int]]]:
    for begin in range(0, count, CHUNK_VERTICES):
        end = min(begin + CHUNK_VERTICES, count)
        yield begin, end, {"first": begin, "count": end - begin}
