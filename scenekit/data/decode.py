"""Image files to 8-bit pictures: what PIL reads, and HEIC and EXR through the extra ``photos``."""

from __future__ import annotations

import os
import re
import warnings
from importlib import import_module
from pathlib import Path
from types import ModuleType

import numpy as np
import torch
from jaxtyping import Float32
from PIL import Image, UnidentifiedImageError

from scenekit.core.checks import BadInput
from scenekit.core.tone import srgb_from_linear

LARGEST_PIXELS = 200_000_000  # a decompression bomb, or at least nothing that fits the memory of a small machine
HEIC = (".heic", ".heif", ".hif")
EXR = ".exr"
SINGLE = ("Y", "Z", "R", "V")  # what programs call the one channel of grey or depth
# What a folder of photographs may hold.
EXTENSIONS = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".webp", ".bmp", *HEIC, EXR)
# What PIL raises for damaged files; some of its parsers let these through.
DAMAGED = (OSError, SyntaxError, ValueError, IndexError, KeyError, TypeError, EOFError, OverflowError, MemoryError)


def is_there(path: Path) -> bool:
    """Whether there is such a file; a name that none can have, too long or with a zero byte, is no file's."""
    return os.path.isfile(path)  # Path.is_file raises for names that are too long


def image_size(path: Path) -> tuple[int, int]:
    """(width, height) from the file's header. Raises BadInput for what is no image."""
    with opened(path) as image:
        return image.size


def find_photographs(folder: Path) -> list[Path]:
    """Image files in a folder and its subfolders, 2 before 10; hidden ones are not looked at."""
    found = [
        file
        for file in folder.rglob("*")
        if file.suffix.lower() in EXTENSIONS
        and file.is_file()
        and not any(part.startswith(".") for part in file.relative_to(folder).parts)
    ]
    return sorted(found, key=_natural)


def _natural(file: Path) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdigit() else (0, part) for part in re.split(r"(\d+)", str(file).lower())]


def opened(path: Path) -> Image.Image:
    """The image, its pixels not yet read where the format allows. Raises BadInput for what is none or too large.

    Linear colours of an EXR file become sRGB, clipped at 1.
    """
    suffix = path.suffix.lower()
    if suffix in HEIC:
        _extra("pillow_heif", path).register_heif_opener()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of large images: our own limit is below; of metadata: exif.py tells
            image = _exr_as_image(path) if suffix == EXR else Image.open(path)
    except (UnidentifiedImageError, Image.DecompressionBombError, *DAMAGED) as error:
        if isinstance(error, BadInput):
            raise
        raise BadInput.of(
            path,
            wanted="an image",
            found=f"none that can be read ({error})",
            remedy="replace or remove the file",
        ) from None
    if image.size[0] * image.size[1] > LARGEST_PIXELS:
        raise BadInput.of(
            path,
            wanted=f"an image of at most {LARGEST_PIXELS // 1_000_000} megapixels",
            found=f"{image.size[0]}x{image.size[1]}",
            remedy="shrink it first",
        )
    return image


def pixels_of(path: Path, image: Image.Image) -> Image.Image:
    """All pixels of an :func:`opened` image as 8-bit RGB or RGBA. Raises BadInput for a damaged file."""
    try:
        image.load()
    except DAMAGED as error:
        raise BadInput.of(
            path,
            wanted="a whole image",
            found=f"a damaged one ({error})",
            remedy="copy the file again or remove it",
        ) from None
    if image.mode.startswith("I"):  # 16-bit grey: PIL's own conversion clips instead of scaling
        return Image.fromarray((np.asarray(image) // 257).astype(np.uint8)).convert("RGB")
    return image.convert("RGBA" if has_alpha(image) else "RGB")


def has_alpha(image: Image.Image) -> bool:
    """Whether an opened image has transparent pixels, or may have."""
    return image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info


def read_exr(path: Path) -> Float32[np.ndarray, "H W C"]:
    """Linear colours, straight from an EXR file: C is 1 (grey, depth), 3 or 4 (premultiplied alpha last).

    Raises BadInput where the package for it is missing, or the file holds no colours.
    """
    openexr = _extra("OpenEXR", path)
    try:
        with openexr.File(str(path)) as file:
            channels = {name: np.asarray(channel.pixels) for name, channel in file.channels().items()}
    except (RuntimeError, ValueError) as error:  # of names that are no text, too
        raise OSError(str(error)) from None
    found = next((channels[name] for name in ("RGBA", "RGB", *SINGLE) if name in channels), None)
    if found is None:
        raise BadInput.of(
            path,
            wanted=f"channels RGB, RGBA or one of {', '.join(SINGLE)}",
            found=", ".join(channels) or "none",
            remedy="export colours",
        )
    return np.atleast_3d(found).astype(np.float32)


def _exr_as_image(path: Path) -> Image.Image:
    linear = read_exr(path)
    wrong = int(np.isnan(linear).any(-1).sum())
    if wrong:
        raise BadInput.of(path, wanted="numbers in every pixel", found=f"NaN in {wrong} of them",
                          remedy="render it again, or put a colour there")  # fmt: skip
    color = np.repeat(linear, 3, -1) if linear.shape[-1] == 1 else linear[..., :3]
    alpha = linear[..., 3:].clip(0, 1)
    if alpha.shape[-1]:
        color = color / np.maximum(alpha, 1e-6)
    color = color.clip(0, 1)
    encoded = srgb_from_linear(torch.from_numpy(color)).numpy()
    return Image.fromarray((np.concatenate([encoded, alpha], -1) * 255).round().astype(np.uint8))


def _extra(module: str, path: Path) -> ModuleType:
    try:
        return import_module(module)
    except ImportError:
        raise BadInput.of(
            path,
            wanted=f"the package {module.replace('_', '-')} to read {path.suffix} files",
            found="none installed",
            remedy='run `pip install "scenekit[photos]"`',
        ) from None
