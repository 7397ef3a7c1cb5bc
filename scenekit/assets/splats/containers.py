"""Parts of files that others define, read with suspicion: JSON, zip archives, WebP pictures."""

from __future__ import annotations

import io
import json
import struct
import zipfile
import zlib
from collections.abc import Sequence
from io import BufferedIOBase
from typing import Any

import numpy as np

from scenekit.assets.splats.codec import Damaged, size_of, unpacked_limit


def json_object(data: bytes, what: str) -> dict[str, Any]:
    """A JSON object; raises Damaged for anything else."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise Damaged(f"{what} that is no JSON ({str(error)[:80]})") from None
    if not isinstance(value, dict):
        raise Damaged(f"{what} that is no JSON object")
    return value


def member(values: Any, *path: str | int) -> Any:
    """A value deep inside parsed JSON by keys and places from 0; raises Damaged, with the path, where there is none."""
    for step in path:
        try:
            values = values[step]
        except (LookupError, TypeError):
            raise Damaged(f"no {'.'.join(map(str, path))}") from None
    return values


def numbers(values: Any, count: int, what: str) -> np.ndarray:
    """``count`` numbers of a JSON list, as float64; raises Damaged for anything else."""
    plain = isinstance(values, list) and len(values) == count
    if not plain or not all(isinstance(v, int | float) and not isinstance(v, bool) for v in values):
        raise Damaged(f"{what}: not {count} numbers")
    try:
        return np.array([float(value) for value in values])
    except OverflowError:
        raise Damaged(f"{what}: a number past all bounds") from None


def whole(value: Any, what: str, most: int) -> int:
    """A whole number from 0 to ``most``; raises Damaged for anything else."""
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= most:
        raise Damaged(f"{what}: {str(value)[:40]}")
    return value


class Archive:
    """A zip archive whose entries are looked up by name and never unpacked to disk.

    All that is read of it together may not exceed the limit for a file of its size.
    """

    def __init__(self, stream: BufferedIOBase) -> None:
        self.left = unpacked_limit(size_of(stream))
        try:
            self.file = zipfile.ZipFile(stream)
        except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError, struct.error) as error:
            raise Damaged(f"no zip archive ({str(error)[:80]})") from None

    def read(self, name: str) -> bytes:
        """An entry; raises Damaged where it is missing, packed in an unusual way, damaged or too large."""
        try:
            entry = self.file.getinfo(name)
            if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) or entry.file_size > self.left:
                raise Damaged(f"entry '{name[:60]}' of {entry.file_size} bytes")
            with self.file.open(entry) as opened:
                data = opened.read(entry.file_size)
        except KeyError:
            raise Damaged(f"no entry '{name[:60]}'") from None
        except (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, ValueError, struct.error) as error:
            raise Damaged(f"entry '{name[:60]}' ({str(error)[:80]})") from None
        self.left -= len(data)
        return data


def pixels(data: bytes, limit: int) -> np.ndarray:
    """The pixels of a WebP picture, [H W 4]; raises Damaged for none, or one of more than ``limit`` bytes."""
    from PIL import Image

    width, height = webp_size(data)
    if width * height * 4 > limit:
        raise Damaged(f"a picture of {width}x{height} pixels")
    try:
        # The size above is the file's own word: the decoder allocates by it.
        with Image.open(io.BytesIO(data), formats=["WEBP"]) as picture:
            return np.asarray(picture.convert("RGBA"))
    except (OSError, ValueError, SyntaxError, struct.error, EOFError, Image.DecompressionBombError) as error:
        raise Damaged(f"a picture ({str(error)[:80]})") from None


def webp_size(data: bytes) -> tuple[int, int]:
    """Width and height that a lossless WebP picture announces, without decoding it."""
    kind = data[12:16]
    if len(data) < 30 or data[:4] != b"RIFF" or data[8:12] != b"WEBP" or kind not in (b"VP8L", b"VP8X"):
        raise Damaged("a picture that is no lossless WebP")
    if kind == b"VP8L":
        (word,) = struct.unpack_from("<I", data, 21)
        return (word & 0x3FFF) + 1, ((word >> 14) & 0x3FFF) + 1
    width, height = (int.from_bytes(data[at : at + 3], "little") + 1 for at in (24, 27))
    return width, height


def webp(values: np.ndarray) -> bytes:
    """Pixels [H W 4] as a lossless WebP picture; colours are kept even where alpha is 0.

    More effort than this saved nothing on real scenes and took a hundred times as long.
    """
    from PIL import Image

    out = io.BytesIO()
    Image.fromarray(values, "RGBA").save(out, "WEBP", lossless=True, quality=50, method=4, exact=True)
    return out.getvalue()


def stored(stream: BufferedIOBase, entries: Sequence[tuple[str, bytes]]) -> None:
    """Write a zip archive whose entries are packed already; the same bytes for the same entries."""
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        for name, data in entries:
            archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), data)
