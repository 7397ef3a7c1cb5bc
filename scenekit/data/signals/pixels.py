"""Pixels of picture files as they are stored: 8-bit sRGB, 16-bit grey, or linear light (.hdr, .exr)."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from PIL import Image, ImageOps
from torch import Tensor

from scenekit.core.checks import BadInput
from scenekit.core.tone import log_light
from scenekit.data.decode import DAMAGED, read_exr
from scenekit.data.signals.radiance import radiance_size, read_radiance

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".hdr", ".exr")
# A photograph of 500 megapixels takes 1.5 GB as bytes, which are never copied into floats as a whole; PIL's own
# limit of 179 is for servers that open what strangers send.
LARGEST_PIXELS = 500_000_000
STRIP = 1 << 20  # pixels


@dataclass(frozen=True)
class Picture:
    """Pixels [H W C]: uint8 in sRGB, or float32; ``linear`` where they are linear light."""

    pixels: Tensor
    linear: bool

    @property
    def size(self) -> tuple[int, int]:
        """Width and height."""
        return self.pixels.shape[1], self.pixels.shape[0]

    @property
    def channels(self) -> int:
        """Values a pixel."""
        return self.pixels.shape[2]

    def to(self, device: torch.device) -> Picture:
        """On another device."""
        return replace(self, pixels=self.pixels.to(device))

    def at(self, index: Int[Tensor, " S"]) -> Float[Tensor, "S C"]:
        """Values of pixels by their place in row-major order: bytes divided by 255, linear light in logarithms."""
        values = self.pixels.view(-1, self.channels)[index]
        if self.linear:
            return log_light(values)
        return values.float() / 255 if values.dtype == torch.uint8 else values


def read_picture(path: Path) -> Picture:
    """Decode a file; raises BadInput for what is no picture, too large, of one pixel or damaged."""
    suffix = path.suffix.lower()
    if suffix == ".hdr":
        picture = Picture(read_radiance(path), linear=True)
    elif suffix == ".exr":
        picture = Picture(_read_exr(path), linear=True)
    else:
        picture = Picture(_read_with_pil(path), linear=False)
    if min(picture.size) < 2:
        raise BadInput.of(path, wanted="a picture of at least 2x2 pixels", found="{}x{}".format(*picture.size),
                          remedy="there is nothing to learn in it")  # fmt: skip
    if picture.linear and not bool(picture.pixels.isfinite().all()):
        raise BadInput.of(path, wanted="finite values", found="infinite ones or none", remedy="repair the file")
    return picture


def picture_size(path: Path) -> tuple[int, int] | None:
    """(width, height), from the header where that is possible; None for what is no picture."""
    if path.suffix.lower() == ".hdr":
        return radiance_size(path)
    if path.suffix.lower() == ".exr":
        return read_picture(path).size
    with (
        _large_pictures(),
        contextlib.suppress(*DAMAGED),
        Image.open(path) as image,
    ):
        return image.size
    return None


@contextlib.contextmanager
def _large_pictures() -> Iterator[None]:
    """PIL's limit lifted for the while: ours is checked as soon as the header is read."""
    usual = Image.MAX_IMAGE_PIXELS
    Image.MAX_IMAGE_PIXELS = None
    try:
        yield
    finally:
        Image.MAX_IMAGE_PIXELS = usual


def _read_with_pil(path: Path) -> Tensor:
    with _large_pictures():
        try:
            with Image.open(path) as image:
                _check(path, image)
                ImageOps.exif_transpose(image, in_place=True)
                return torch.from_numpy(_values(image))
        except BadInput:
            raise
        except DAMAGED as error:  # an unidentified one is an OSError
            found = " ".join(str(error).split()) or type(error).__name__
            raise BadInput.of(path, wanted="a whole picture", found=f"none that can be read ({found})",
                              remedy="replace the file") from None  # fmt: skip


def _check(path: Path, image: Image.Image) -> None:
    width, height = image.size
    if width * height > LARGEST_PIXELS:
        raise BadInput.of(path, wanted=f"at most {LARGEST_PIXELS // 1_000_000} megapixels", found=f"{width}x{height}",
                          remedy="shrink it first")  # fmt: skip
    if _has_deep_colors(path):
        raise BadInput.of(path, wanted="8-bit colours or 16-bit grey", found="a PNG with 16-bit colours",
                          remedy="convert it to 8 bits, or to .exr")  # fmt: skip


def _has_deep_colors(path: Path) -> bool:
    """A PNG of more than 8 bits a channel and of colour: PIL would drop the lower bits without a word."""
    with path.open("rb") as file:
        header = file.read(26)
    return header[1:4] == b"PNG" and header[24] == 16 and header[25] != 0


def _values(image: Image.Image) -> np.ndarray:
    if image.mode.startswith("I"):
        return (np.asarray(image).astype(np.float32) / 65535)[..., None]
    if image.mode == "F":
        return np.array(image)[..., None]
    if image.mode in ("L", "1"):
        return _in_strips(image, "L")
    transparent = image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info
    return _in_strips(image, "RGBA" if transparent else "RGB")


def _in_strips(image: Image.Image, mode: str) -> np.ndarray:
    """Bytes [H W C], converted some rows at a time: PIL has a copy of all it is asked for at once, or two."""
    width, height = image.size
    values = np.empty((height, width, len(mode)), dtype=np.uint8)
    rows = max(1, STRIP // width)
    for top in range(0, height, rows):
        strip = image.crop((0, top, width, min(height, top + rows))).convert(mode)
        values[top : top + rows] = np.asarray(strip).reshape(-1, width, len(mode))
    return values


def _read_exr(path: Path) -> Tensor:
    try:
        linear = read_exr(path)
    except OSError as error:
        raise BadInput.of(path, wanted="a whole .exr file", found=f"none that can be read ({error})",
                          remedy="replace the file") from None  # fmt: skip
    return torch.from_numpy(np.ascontiguousarray(linear[..., :3]))
