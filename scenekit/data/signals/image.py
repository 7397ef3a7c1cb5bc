"""Pictures of any size as signals in the plane."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from scenekit.data.signals.pixels import SUFFIXES, Picture, read_picture
from scenekit.data.signals.signal import Facts, Points


@dataclass(frozen=True)
class ImageSignal:
    """Pixel centres and their values; both axes run over [0, 1] whatever the shape is (instant-ngp)."""

    path: str
    picture: Picture

    @property
    def facts(self) -> Facts:
        """Detail ends at half a cell a pixel (instant-ngp)."""
        size = self.picture.size
        return Facts("image", self.path, 2, self.picture.channels, max(size) / 2, size, self.picture.linear)

    @property
    def device(self) -> torch.device:
        """Where the pixels are."""
        return self.picture.pixels.device

    @property
    def nbytes(self) -> int:
        """Of the pixels."""
        return self.picture.pixels.nbytes

    def to(self, device: torch.device) -> ImageSignal:
        """See :class:`~scenekit.data.signals.signal.Signal`."""
        return replace(self, picture=self.picture.to(device))

    def sample(self, count: int, generator: torch.Generator | None) -> Points:
        """Uniform over all pixels."""
        width, height = self.picture.size
        index = torch.randint(width * height, (count,), generator=generator, device=self.device)
        return Points(self.positions(index), self.picture.at(index))

    def positions(self, index: Tensor) -> Float[Tensor, "S 2"]:
        """Centres of pixels by their place in row-major order."""
        width, height = self.picture.size
        return torch.stack([(index % width + 0.5) / width, (index // width + 0.5) / height], -1)

    def detail(self, count: int, generator: torch.Generator | None) -> tuple[Float[Tensor, "M 2"], Float[Tensor, " M"]]:
        """Lengths of the differences to the pixels on the right and below."""
        width, height = self.picture.size
        among = (width - 1) * (height - 1)
        index = torch.randint(among, (count,), generator=generator, device=self.device)
        index = index // (width - 1) * width + index % (width - 1)
        here = self.picture.at(index)
        steps = [self.picture.at(index + step) - here for step in (1, width)]
        return self.positions(index), torch.cat(steps, -1).norm(dim=-1)


def sniff(path: Path) -> bool:
    """By its extension."""
    return path.suffix.lower() in SUFFIXES


def read(path: Path) -> ImageSignal:
    """Raises BadInput where the file is no picture."""
    return ImageSignal(str(path), read_picture(path))
