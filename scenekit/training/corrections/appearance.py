"""Exposure, white balance and local tone of each photograph, learnt apart from the scene.

The scene keeps the appearance of a reference: the mean of the photographs, or one of them. What is exported is
therefore free of any photograph's own exposure, and nothing has to be baked afterwards.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from scenekit.core.cameras import Cameras, every_pixel
from scenekit.core.protocols import Batch, ParameterGroup, Rendering
from scenekit.core.schedules import exponential
from scenekit.core.tone import linear_from_srgb, srgb_from_linear

LUMA = (0.299, 0.587, 0.114)  # Rec. 601, of sRGB values: the guide of the bilateral grid


class Exposures(nn.Module):
    """A gain of each colour channel in linear light: ``srgb(linear(c) * 2^stops)``, in stops.

    Args:
        count: photographs of the capture.
        photographs: those that are learnt from; their mean, or ``reference``, has no gain.
        reference: the photograph whose exposure the scene keeps; None for the mean.
    """

    recordable: ClassVar[bool] = True
    reference: Int[Tensor, " M"]

    def __init__(self, count: int, photographs: tuple[int, ...], reference: int | None = None) -> None:
        super().__init__()
        chosen = photographs if reference is None else (reference,)
        self.register_buffer("reference", torch.tensor(chosen), persistent=False)
        self.stops = nn.Parameter(torch.zeros(count, 3))

    def cameras(self, cameras: Cameras) -> Cameras:
        """As they are."""
        return cameras

    def rendering(self, rendering: Rendering, batch: Batch) -> Rendering:
        """Exposed as each photograph was."""
        owners = _owners(batch)
        stops = self.stops - self.stops[self.reference].mean(0)
        return replace(rendering, color=exposed(rendering.color, stops[owners].reshape(_spread(rendering, owners))))

    def loss(self, rendering: Rendering, batch: Batch) -> Mapping[str, Tensor]:
        """None: the reference fixes what the scene and the gains share."""
        return {}

    def parameter_groups(self) -> list[ParameterGroup]:
        """A tenth of a stop in some ten steps at first."""
        rate = exponential(0.05, 0.002, warm_up=0.02)
        return [ParameterGroup("exposures", {"exposures.stops": self.stops}, rate, betas=(0.9, 0.99))]


class BilateralGrids(nn.Module):
    """An affine change of colour for every photograph, place and brightness (Wang et al. 2024, bilateral grids).

    A grid of ``width x width x depth`` vertices holds [3 4] matrices over the image and its luma; the total
    variation keeps it smooth, and that of ``reference`` is the identity.
    """

    recordable: ClassVar[bool] = False

    def __init__(self, count: int, reference: int | None = None, width: int = 16, depth: int = 8) -> None:
        super().__init__()
        self.reference = reference
        self.shape = (width, width, depth)
        self.grids = nn.Parameter(torch.zeros(count, width * width * depth, 12))
        self.variation = 10.0

    def cameras(self, cameras: Cameras) -> Cameras:
        """As they are."""
        return cameras

    def rendering(self, rendering: Rendering, batch: Batch) -> Rendering:
        """With each photograph's tone."""
        pixels = batch.pixels if batch.pixels is not None else every_pixel(batch.cameras)
        sizes = batch.cameras.extents
        places = pixels.positions / sizes[pixels.cameras]
        colors = rendering.color.reshape(-1, 3)
        changed = self._changed(colors, places, _view_ids(batch.cameras)[pixels.cameras])
        return replace(rendering, color=changed.reshape(rendering.color.shape))

    def _changed(
        self, colors: Float[Tensor, "R 3"], places: Float[Tensor, "R 2"], owners: Int[Tensor, " R"]
    ) -> Float[Tensor, "R 3"]:
        luma = (colors.detach() * colors.new_tensor(LUMA)).sum(-1, keepdim=True).clamp(0, 1)
        sides = colors.new_tensor(self.shape) - 1
        at = torch.cat([places.clamp(0, 1), luma], -1) * sides
        low = at.floor().clamp(max=sides - 1)
        fraction = at - low
        affine = colors.new_zeros(len(colors), 12)
        for corner in range(8):
            step = torch.tensor([corner & 1, corner >> 1 & 1, corner >> 2], device=low.device)
            x, y, z = (low.long() + step).unbind(-1)
            weight = torch.where(step == 1, fraction, 1 - fraction).prod(-1, keepdim=True)
            affine = affine + weight * self.grids[owners, (x * self.shape[1] + y) * self.shape[2] + z]
        if self.reference is not None:
            affine = affine * (owners != self.reference)[:, None]
        matrix = affine.reshape(-1, 3, 4)
        return colors + (matrix[..., :3] @ colors[..., None])[..., 0] + matrix[..., 3]

    def loss(self, rendering: Rendering, batch: Batch) -> Mapping[str, Tensor]:
        """Total variation of the grids that were looked at, and a pull of their mean to the identity."""
        chosen = _view_ids(batch.cameras) if batch.pixels is None else torch.unique(_owners(batch))
        grids = self.grids[chosen].reshape(len(chosen), *self.shape, 12)
        variation = sum(grids.diff(dim=axis).square().mean() for axis in (1, 2, 3))
        return {"tone": self.variation * variation + 0.1 * grids.mean((0, 1, 2, 3)).square().sum()}

    def parameter_groups(self) -> list[ParameterGroup]:
        """Grids of photographs that were not looked at keep their moments."""
        rate = exponential(2e-3, 2e-5, warm_up=0.05)
        return [ParameterGroup("bilateral", {"bilateral.grids": self.grids}, rate, sparse=True)]


def exposed(colors: Float[Tensor, "*b 3"], stops: Float[Tensor, "*#b 3"]) -> Float[Tensor, "*b 3"]:
    """sRGB colours with ``stops`` more light: ``srgb(linear(c) * 2^stops)``; above white they are left above it."""
    return srgb_from_linear(linear_from_srgb(colors) * torch.exp2(stops))


def _view_ids(cameras: Cameras) -> Int[Tensor, " C"]:
    assert cameras.view_ids is not None, "photographs are numbered by the capture"
    return cameras.view_ids


def _owners(batch: Batch) -> Int[Tensor, " R"]:
    """Which photograph each pixel, or each image of a batch of images, belongs to."""
    ids = _view_ids(batch.cameras)
    return ids if batch.pixels is None else ids[batch.pixels.cameras]


def _spread(rendering: Rendering, owners: Tensor) -> tuple[int, ...]:
    """One value per leading row, to broadcast over an image."""
    return (len(owners), *[1] * (rendering.color.dim() - 2), 3)
