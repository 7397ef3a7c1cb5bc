"""Photographs from disk to memory: decoded, undistorted, shrunk with an area filter; two at a time."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Float, UInt8
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from scenekit.core.cameras import Cameras
from scenekit.core.checks import BadInput
from scenekit.data.decode import opened, pixels_of
from scenekit.data.lens import COEFFICIENTS, Lens, kept, source_positions, undistorted
from scenekit.data.listing import Photograph
from scenekit.data.threads import two_at_a_time

MAP_STEP = 8  # the distortion map is computed every 8 pixels and interpolated: error below 1e-3 pixels
BAND_ROWS = 128


def load_images(
    photographs: Sequence[Photograph], downscale: float = 1.0, *, keep_lens: bool = False
) -> tuple[tuple[UInt8[Tensor, "_H _W _C"], ...], Cameras]:
    """Decode, undistort and shrink photographs; the cameras are those of :func:`cameras_of`.

    Raises BadInput for a damaged file, or one whose size is not that of its camera.
    """
    images = two_at_a_time(lambda photograph: load_image(photograph, downscale, keep_lens=keep_lens), photographs)
    return tuple(images), cameras_of(photographs, downscale, keep_lens=keep_lens)


def cameras_of(photographs: Sequence[Photograph], downscale: float = 1.0, *, keep_lens: bool = False) -> Cameras:
    """The cameras of photographs that were undistorted and shrunk to ``round(side / downscale)``, exactly.

    Lenses that no pinhole can stand for, and with ``keep_lens`` all, are kept as they are.
    """
    lenses = tuple(kept(photograph.lens) if stays(photograph.lens, keep_lens) else None for photograph in photographs)
    seen = [p.lens if stays(p.lens, keep_lens) else _pinhole(p) for p in photographs]
    cameras = Cameras(
        torch.stack([photograph.world_from_camera for photograph in photographs]),
        torch.tensor([lens.intrinsics for lens in seen], dtype=torch.float64),
        tuple(lens.size for lens in seen),
        view_ids=torch.arange(len(photographs)),
        lenses=None if all(lens is None for lens in lenses) else lenses,
    )
    return cameras.resized([shrunk(lens.size, downscale) for lens in seen])


def _pinhole(photograph: Photograph) -> Lens:
    try:
        return pinhole_of(photograph.lens)
    except ValueError as error:
        raise BadInput.of(
            photograph.path,
            wanted="a lens that can be undistorted",
            found=" ".join(str(error).split()),
            remedy="correct its calibration, or leave it as it is with --keep-lens",
        ) from None


def stays(lens: Lens, keep_lens: bool) -> bool:
    """Whether photographs through ``lens`` are left as they are."""
    return lens.is_pinhole or lens.is_bent or (keep_lens and lens.model in COEFFICIENTS)


def shrunk(size: tuple[int, int], downscale: float) -> tuple[int, int]:
    """(width, height) after shrinking."""
    return max(1, round(size[0] / downscale)), max(1, round(size[1] / downscale))


def load_image(photograph: Photograph, downscale: float = 1.0, *, keep_lens: bool = False) -> UInt8[Tensor, "H W C"]:
    """One photograph, decoded, undistorted and shrunk. Raises BadInput like :func:`load_images`."""
    image = _decoded(photograph)
    if not stays(photograph.lens, keep_lens):
        image = Image.fromarray(undistort(np.asarray(image), photograph.lens))
    size = shrunk(image.size, downscale)
    if size != image.size:
        image = _box_filtered(image, size)
    return torch.from_numpy(np.array(image))


def _box_filtered(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Area averages; PIL multiplies by alpha first, as it must."""
    if image.size[0] % size[0] or image.size[1] % size[1]:
        return image.resize(size, Image.Resampling.BOX)
    # Whole factors: the same filter, rounded once instead of once for each direction.
    return image.reduce((image.size[0] // size[0], image.size[1] // size[1]))


def _decoded(photograph: Photograph) -> Image.Image:
    """The image as 8-bit RGB or RGBA, of its camera's size."""
    with opened(photograph.path) as image:
        if image.size != photograph.lens.size:
            raise BadInput.of(
                photograph.path,
                wanted="an image of {}x{} as its camera says".format(*photograph.lens.size),
                found="{}x{}".format(*image.size),
                remedy="use the image the camera was calibrated for, or correct the size and intrinsics",
            )
        return pixels_of(photograph.path, image)


@lru_cache(maxsize=256)
def pinhole_of(lens: Lens) -> Lens:
    """The pinhole that images through ``lens`` become."""
    return undistorted(lens)


@lru_cache(maxsize=2)
def source_map(lens: Lens) -> Float[Tensor, "H W 2"]:
    """Where in the photograph, in pixels, each pixel of the pinhole comes from."""
    width, height = lens.size
    columns, rows = -(-width // MAP_STEP) + 1, -(-height // MAP_STEP) + 1
    u, v = np.linspace(0.5, width - 0.5, columns), np.linspace(0.5, height - 0.5, rows)
    coarse = torch.from_numpy(source_positions(lens, pinhole_of(lens), u, v)).float().permute(2, 0, 1)
    fine = torch.nn.functional.interpolate(coarse[None], (height, width), mode="bilinear", align_corners=True)
    return fine[0].permute(1, 2, 0).contiguous()


def undistort(image: NDArray[np.uint8], lens: Lens) -> NDArray[np.uint8]:
    """Resample ``[H W C]`` to :func:`scenekit.data.lens.undistorted`'s pinhole, bilinear, band by band."""
    positions = source_map(lens)
    result = np.empty_like(image)
    for start in range(0, image.shape[0], BAND_ROWS):
        band = slice(start, start + BAND_ROWS)
        result[band] = _sampled(image, positions[band])
    return result


def _sampled(image: NDArray[np.uint8], positions: Float[Tensor, "h W 2"]) -> NDArray[np.uint8]:
    """Bilinear samples; only the rows that are needed become floats, so that memory stays small."""
    top = max(0, int(positions[..., 1].min()) - 1)
    bottom = min(image.shape[0], int(positions[..., 1].max()) + 3)
    source = torch.tensor(image[top:bottom]).permute(2, 0, 1).float()
    if source.shape[0] == 4:
        source[:3] *= source[3:] / 255
    size = positions.new_tensor([source.shape[2], source.shape[1]])
    grid = (positions - positions.new_tensor([0.0, top])) * (2 / size) - 1
    # Border padding matters for rounding errors alone: every pixel comes from inside by construction.
    sampled = torch.nn.functional.grid_sample(
        source[None], grid[None], mode="bilinear", padding_mode="border", align_corners=False
    )[0]
    if sampled.shape[0] == 4:
        sampled[:3] *= 255 / sampled[3:].clamp(min=1)
    return sampled.clamp(0, 255).round().byte().permute(1, 2, 0).numpy()
