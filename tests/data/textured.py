"""Photographs of a textured box from inside, for tests that look for poses: quick to render, rich in corners."""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from scenekit.core.cameras import look_at

SIZE = (240, 180)
FOCAL = 210.0
COUNT = 8


@functools.cache
def _texture(face: int) -> Tensor:
    """Noise at several scales: [256 256 3] in [0, 1]."""
    generator = torch.Generator().manual_seed(face)
    total = torch.zeros(1, 3, 256, 256)
    for side in (16, 48, 128):
        noise = torch.rand(1, 3, side, side, generator=generator)
        total += torch.nn.functional.interpolate(noise, (256, 256), mode="bilinear")
    return (total[0].permute(1, 2, 0) - 0.6) / 1.8 + 0.15


def pose(index: int, count: int = COUNT) -> Float[Tensor, "3 4"]:
    """Cameras on an arc before a corner of the box [-1, 1]^3, upright (z), looking a little down."""
    angle = 0.6 * (index / max(1, count - 1) - 0.5)
    centre = torch.tensor([-0.6 + 0.9 * np.sin(angle) ** 2, -0.9 * np.sin(2 * angle), 0.25 + 0.1 * np.cos(5 * index)])
    return look_at(centre.double(), torch.tensor([1.0, 0.4, -0.1]).double(), torch.tensor([0.0, 0.0, 1.0]).double())


def render(pose: Float[Tensor, "3 4"], size: tuple[int, int] = SIZE, focal: float = FOCAL) -> Image.Image:
    """The box's inner walls through a pinhole, each ray at the wall it meets first; averaged over 2x2 rays."""
    width, height = 2 * size[0], 2 * size[1]
    v, u = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    rays = torch.stack([(u - width / 2) / (2 * focal), (v - height / 2) / (2 * focal), torch.ones_like(u)], -1)
    directions = rays @ pose[:, :3].float().T
    centre = pose[:, 3].float()
    to_walls = (directions.sign() - centre) / directions
    distance, axis = to_walls.min(-1)
    hits = centre + distance[..., None] * directions
    across = torch.stack([hits.gather(-1, ((axis + step) % 3)[..., None]).squeeze(-1) for step in (1, 2)], -1)
    side = directions.gather(-1, axis[..., None]).squeeze(-1) > 0
    picture = torch.zeros(height, width, 3)
    for face in range(6):
        chosen = (axis == face // 2) & (side == bool(face % 2))
        picture[chosen] = _sampled(_texture(face), across[chosen])
    image = Image.fromarray((picture.clamp(0, 1) * 255).round().byte().numpy())
    return image.reduce(2)


def _sampled(texture: Tensor, positions: Float[Tensor, "P 2"]) -> Float[Tensor, "P 3"]:
    found = torch.nn.functional.grid_sample(
        texture.permute(2, 0, 1)[None], positions[None, None].float(), align_corners=False, padding_mode="border"
    )
    return found[0, :, 0].T


@functools.cache
def pictures(count: int = COUNT) -> tuple[Image.Image, ...]:
    return tuple(render(pose(index, count)) for index in range(count))


def write_photographs(folder: Path, count: int = COUNT) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for index, picture in enumerate(pictures(count)):
        picture.save(folder / f"p{index}.png")
    return folder


def write_video(file: Path, images: list[Image.Image], rate: int = 10) -> Path:
    from scenekit.assets.video import write_frames

    write_frames(file, [torch.from_numpy(np.array(image)) for image in images], rate=rate)
    return file
