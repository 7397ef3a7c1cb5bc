"""What a camera wrote beside the pixels: orientation, focal length, which camera it was, and where down is."""

from __future__ import annotations

import math
import struct
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from PIL import Image

ORIENTATION, MAKE, MODEL = 0x0112, 0x010F, 0x0110
DETAILS = 0x8769  # the directory of what follows
FOCAL_LENGTH, FOCAL_LENGTH_35MM, MAKER_NOTE = 0x920A, 0xA405, 0x927C
PLANE_X_RESOLUTION, PLANE_UNIT, PLANE_WIDTH = 0xA20E, 0xA210, 0xA002
MILLIMETRES = {2: 25.4, 3: 10.0, 4: 1.0, 5: 0.001}  # of the unit of the plane's resolution
DIAGONAL_35MM = math.hypot(36, 24)
APPLE = b"Apple iOS\x00\x00\x01MM"
APPLE_ACCELERATION = 0x0008
RATIONAL = 10  # signed
# Where x (right) and y (down) of the stored image go when it is turned upright.
UPRIGHT = {
    1: ((1, 0), (0, 1)),
    2: ((-1, 0), (0, 1)),
    3: ((-1, 0), (0, -1)),
    4: ((1, 0), (0, -1)),
    5: ((0, 1), (1, 0)),
    6: ((0, -1), (1, 0)),
    7: ((0, -1), (-1, 0)),
    8: ((0, 1), (-1, 0)),
}


@dataclass(frozen=True)
class Exif:
    """What is known of a photograph; nothing where its metadata are absent.

    Attributes:
        orientation: EXIF's number; 1 is upright.
        focal: length in pixels of the image as stored, or None.
        camera: maker, model, lens length: photographs that agree were taken with the same intrinsics.
        gravity: the direction of gravity, OpenCV axes of the upright image.
        damaged: whether there are metadata that cannot be read.
    """

    orientation: int = 1
    focal: float | None = None
    camera: str = ""
    gravity: tuple[float, float, float] | None = None
    damaged: bool = False


def read_exif(image: Image.Image) -> Exif:
    """Metadata of an opened image; damaged ones are said to be so and else count as absent."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # half of what is wrong with metadata is only warned of
            general = _general(image)
            details = general.get_ifd(DETAILS)
        orientation = general.get(ORIENTATION, 1)
        orientation = orientation if orientation in UPRIGHT else 1
        focal = _focal(details, image.size)
        camera = " ".join(str(general.get(key, "")).strip("\0 ") for key in (MAKE, MODEL))
        length = _positive(details.get(FOCAL_LENGTH)) or 0.0
        note = details.get(MAKER_NOTE)
    except Exception:  # PIL's parser raises whatever the bytes make it stumble over
        return Exif(damaged=True)
    gravity = _gravity(note, orientation) if isinstance(note, bytes) else None
    return Exif(orientation, focal, f"{camera} {length:g}".strip() if camera.strip() else "", gravity)


def _general(image: Image.Image) -> Image.Exif:
    """Parsed afresh from the bytes where there are any: what PIL keeps from opening may be half of it."""
    raw = image.info.get("exif")
    if not isinstance(raw, bytes):
        return image.getexif()
    exif = Image.Exif()
    exif.load(raw)
    return exif


def _positive(value: object) -> float | None:
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    return number if math.isfinite(number) and number > 0 else None


def _focal(details: Mapping[int, Any], size: tuple[int, int]) -> float | None:
    """Focal length in pixels: from its equivalent for 35 mm film (equal diagonals), or from the sensor's resolution."""
    equivalent = _positive(details.get(FOCAL_LENGTH_35MM))
    if equivalent is not None:
        return equivalent / DIAGONAL_35MM * math.hypot(*size)
    length, resolution = _positive(details.get(FOCAL_LENGTH)), _positive(details.get(PLANE_X_RESOLUTION))
    unit = MILLIMETRES.get(details.get(PLANE_UNIT, 2))
    if length is None or resolution is None or unit is None:
        return None
    # The resolution holds for the picture as the sensor gave it; it may have been shrunk since.
    shrunk = max(size) / (_positive(details.get(PLANE_WIDTH)) or max(size))
    return length * resolution / unit * min(1.0, shrunk)


def _gravity(note: bytes, orientation: int) -> tuple[float, float, float] | None:
    """From the acceleration in Apple's maker note: device axes are x right, y to the top, z out of the screen.

    A stored image has its right along the device's -y and its down along the device's -x.
    """
    device = _acceleration(note)
    if device is None or math.hypot(*device) < 0.5:
        return None
    x, y, z = device
    stored = (-y, -x)
    (xx, xy), (yx, yy) = UPRIGHT[orientation]
    length = math.hypot(*device)
    upright = (xx * stored[0] + xy * stored[1], yx * stored[0] + yy * stored[1], -z)
    return (upright[0] / length, upright[1] / length, upright[2] / length)


def _acceleration(note: bytes) -> tuple[float, float, float] | None:
    """The three numbers, or None: entries of 12 bytes follow the header, big-endian, offsets from the note's start."""
    if not note.startswith(APPLE):
        return None
    try:
        start = len(APPLE)
        (count,) = struct.unpack_from(">H", note, start)
        for entry in range(min(count, 200)):
            tag, kind, number, offset = struct.unpack_from(">HHII", note, start + 2 + 12 * entry)
            if (tag, kind, number) == (APPLE_ACCELERATION, RATIONAL, 3):
                x, dx, y, dy, z, dz = struct.unpack_from(">6i", note, offset)
                return (x / dx, y / dy, z / dz)
    except (struct.error, ZeroDivisionError):
        return None
    return None
