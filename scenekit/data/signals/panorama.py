"""Equirectangular panoramas as signals on the sphere.

The picture's rows go from +z (up) to -z; its middle looks along +x, and what is to the right of the middle lies
towards -y, as one sees it standing inside.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from scenekit.core.checks import BadInput
from scenekit.core.constants import constant
from scenekit.core.sphere import equirectangular_directions, equirectangular_positions
from scenekit.data.signals.pixels import SUFFIXES, Picture, picture_size, read_picture
from scenekit.data.signals.signal import Facts, Points

NAMED = re.compile(r"panorama|equirect|envmap|hdri|360", re.IGNORECASE)


@dataclass(frozen=True)
class PanoramaSignal:
    """Directions, put on the sphere inside the unit cube, and what is seen there."""

    path: str
    picture: Picture

    @property
    def facts(self) -> Facts:
        """A pixel at the horizon is pi / width wide in the unit cube."""
        size = self.picture.size
        finest = size[0] / math.pi
        return Facts("panorama", self.path, 3, self.picture.channels, finest, size, self.picture.linear)

    @property
    def device(self) -> torch.device:
        """Where the pixels are."""
        return self.picture.pixels.device

    @property
    def nbytes(self) -> int:
        """Of the pixels."""
        return self.picture.pixels.nbytes

    def to(self, device: torch.device) -> PanoramaSignal:
        """See :class:`~scenekit.data.signals.signal.Signal`."""
        return replace(self, picture=self.picture.to(device))

    def sample(self, count: int, generator: torch.Generator | None) -> Points:
        """Uniform over the sphere, by area, between pixel centres bilinearly."""
        directions = self._anywhere(count, generator)
        return Points(directions / 2 + 0.5, self.seen(directions))

    def seen(self, directions: Float[Tensor, "S 3"]) -> Float[Tensor, "S C"]:
        """Bilinear values; the columns go round, the outer rows are repeated at the poles."""
        width, height = self.picture.size
        size = constant((float(width), float(height)), directions.device)
        u, v = (equirectangular_positions(directions) * size - 0.5).unbind(-1)
        column, row = u.floor(), v.floor()
        right, down = (u - column)[:, None], (v - row)[:, None]
        columns = [(column.long() + step) % width for step in (0, 1)]
        rows = [(row.long() + step).clamp(0, height - 1) for step in (0, 1)]
        top, bottom = (
            torch.lerp(self.picture.at(r * width + columns[0]), self.picture.at(r * width + columns[1]), right)
            for r in rows
        )
        return torch.lerp(top, bottom, down)

    def detail(self, count: int, generator: torch.Generator | None) -> tuple[Float[Tensor, "M 3"], Float[Tensor, " M"]]:
        """Differences over about a pixel."""
        directions = self._anywhere(count, generator)
        apart = torch.randn(count, 3, generator=generator, device=self.device)
        aside = torch.nn.functional.normalize(directions + 4 / self.picture.size[0] * apart, dim=-1)
        return directions / 2 + 0.5, (self.seen(aside) - self.seen(directions)).norm(dim=-1)

    def _anywhere(self, count: int, generator: torch.Generator | None) -> Float[Tensor, "S 3"]:
        """Uniform by area: the heights of a sphere's points are uniform (Archimedes)."""
        u, v = torch.rand(count, 2, generator=generator, device=self.device).unbind(-1)
        return equirectangular_directions(torch.stack([u, (1 - 2 * v).clamp(-1, 1).acos() / math.pi], -1))


def sniff(path: Path) -> bool:
    """Twice as wide as high, and high dynamic range or a name that says so."""
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES or not (suffix in (".hdr", ".exr") or NAMED.search(path.stem)):
        return False
    size = picture_size(path)
    return size is not None and size[0] == 2 * size[1]


def read(path: Path) -> PanoramaSignal:
    """Raises BadInput where the file is no picture, or not twice as wide as high."""
    picture = read_picture(path)
    if picture.size[0] != 2 * picture.size[1]:
        raise BadInput.of(path, wanted="an equirectangular picture, twice as wide as high",
                          found="{}x{}".format(*picture.size), remedy="fit it as an image")  # fmt: skip
    return PanoramaSignal(str(path), picture)
