"""How good a scene is: its renderings against photographs it has not seen."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from scenekit.core.cameras import Cameras
from scenekit.core.protocols import EVAL
from scenekit.kernels.ssim import ssim
from scenekit.renderers.scene import Scene
from scenekit.training.objective import psnr_of
from scenekit.training.photographs import over


@dataclass(frozen=True)
class Score:
    """One held-out view: PSNR in dB and SSIM over the window's valid pixels, and the picture that was scored."""

    name: str
    psnr: float
    ssim: float
    rendered: UInt8[Tensor, "H W 3"]


def scores(
    scene: Scene, cameras: Cameras, images: Sequence[UInt8[Tensor, "_H _W _C"]], names: Sequence[str]
) -> Iterator[Score]:
    """Render every camera (in ``world``) and compare with its photograph, 8-bit sRGB against 8-bit sRGB.

    Photographs with alpha are blended over the scene's background.
    """
    for index, (image, name) in enumerate(zip(images, names, strict=True)):
        camera = cameras[index]
        rendering = scene.render(camera)
        picture = to_bytes(rendering.color[0])
        inside = scene.cameras_in_scene(camera)
        behind = scene.background.colors(inside, None, EVAL).detach().cpu()
        target = to_bytes(over(image.float() / 255, behind))
        yield Score(name, psnr(picture, target), structural_similarity(picture, target), picture)


def psnr(picture: UInt8[Tensor, "H W 3"], target: UInt8[Tensor, "H W 3"]) -> float:
    """Peak signal-to-noise ratio in dB."""
    error = (picture.double() - target.double()) / 255
    return psnr_of(float(error.square().mean()))


def structural_similarity(picture: UInt8[Tensor, "H W 3"], target: UInt8[Tensor, "H W 3"]) -> float:
    """Mean SSIM (11x11 Gaussian window, sigma 1.5) where the window fits into the image."""
    similarity = ssim(picture.float() / 255, target.float() / 255)
    height, width = similarity.shape[:2]
    inside = similarity[5:-5, 5:-5] if min(height, width) > 10 else similarity
    return float(inside.mean())


def to_bytes(color: Float[Tensor, "*b 3"]) -> UInt8[Tensor, "*b 3"]:
    """Colours in [0, 1] as the nearest bytes, in main memory."""
    return (color.clamp(0, 1) * 255).round().to("cpu", torch.uint8)


def over_white(image: UInt8[Tensor, "H W c"]) -> UInt8[Tensor, "H W 3"]:
    """A photograph as it looks on white paper."""
    return to_bytes(over(image.float() / 255, torch.ones(3)))
