"""What a scene is compared with: the photograph taken nearest to where a browser looks from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from scenekit.core.cameras import Cameras
from scenekit.renderers.background import Color
from scenekit.renderers.paths import focus


@dataclass(frozen=True)
class Photographs:
    """Photographs with poses.

    Attributes:
        cameras: in ``world``; at least one.
        images: sRGB, or sRGB and straight alpha, of the cameras' sizes; perhaps decoded when asked for.
        names: of the photographs.
    """

    cameras: Cameras
    images: Sequence[UInt8[Tensor, "_H _W _C"]]
    names: Sequence[str]

    def nearest(self, world_from_camera: Float[Tensor, "3 4"]) -> int:
        """The photograph whose camera, and what it looks at, are nearest to this pose's."""
        centres, ahead = self.cameras.centres.double(), self.cameras.forward.double()
        distance = (centres - focus(self.cameras)).norm(dim=-1).mean()
        away = (centres - world_from_camera[:, 3]).norm(dim=-1)
        aside = (ahead - world_from_camera[:, 2]).norm(dim=-1) * distance
        return int((away + aside).argmin())

    def within(self, index: int, size: tuple[int, int]) -> Cameras:
        """A photograph's camera, its picture as large as fits into ``size`` and no larger than it is."""
        camera = self.cameras[[index]]
        (width, height), *_ = camera.sizes
        factor = min(1.0, size[0] / width, size[1] / height)
        return camera.resized([(max(1, round(width * factor)), max(1, round(height * factor)))])

    def image(self, index: int, size: tuple[int, int], behind: Color) -> Float[Tensor, "H W 3"]:
        """A photograph at ``size``, area-filtered, before a colour."""
        image = self.images[index].float().permute(2, 0, 1)[None] / 255
        image = torch.nn.functional.interpolate(image, (size[1], size[0]), mode="area")[0].permute(1, 2, 0)
        if image.shape[-1] == 4:
            return image[..., :3] * image[..., 3:] + torch.tensor(behind) * (1 - image[..., 3:])
        return image[..., :3]
