"""One picture of any size, band by band: PNG in sRGB, or .hdr in linear light."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from scenekit.assets.atomic import replacing
from scenekit.core.checks import BadInput
from scenekit.core.tone import light_of, shown, three_channels
from scenekit.data.signals.radiance import write_radiance

SUFFIXES = (".png", ".hdr")


def check_picture(target: Path, *, linear: bool) -> None:
    """Raise BadInput, before anything is rendered, for a name that :func:`write_picture` cannot serve."""
    suffix = target.suffix.lower()
    if suffix not in SUFFIXES or (suffix == ".hdr" and not linear):
        wanted = "a name ending in .png" + (" or .hdr" if linear else ": its values are sRGB")
        raise BadInput.of(target, wanted=wanted, found=suffix or "none", remedy="choose another name")


def write_picture(
    target: Path, bands: Iterable[Float[Tensor, "_h W C"]], size: tuple[int, int], *, linear: bool
) -> None:
    """Write bands of rows from the top; grey, colours, or colours with alpha.

    Raises BadInput for another extension, and where the place cannot be written.
    """
    check_picture(target, linear=linear)
    whole = target.suffix.lower() == ".hdr"
    width, height = size
    pixels: np.ndarray | None = None
    top = 0
    for band in bands:
        values = light_of(three_channels(band)) if whole else (shown(band, linear=linear) * 255).round().to(torch.uint8)
        if pixels is None:
            pixels = np.empty((height, width, values.shape[-1]), values.numpy().dtype)
        pixels[top : top + len(values)] = values.numpy()
        top += len(values)
    assert pixels is not None
    assert top == height
    with replacing(target) as temporary:
        if whole:
            temporary.write_bytes(write_radiance(torch.from_numpy(pixels)))
        else:
            image = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
            image.save(temporary, format="PNG", compress_level=3)
