"""Formats: what a phone, a scanner and a renderer write all become 8-bit pictures, or one sentence."""

from __future__ import annotations

import struct
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scenekit.core.checks import BadInput
from scenekit.data.decode import find_photographs, image_size, opened, pixels_of


def loaded(file: Path) -> np.ndarray:
    with opened(file) as image:
        return np.asarray(pixels_of(file, image))


def write_16_bit_png(file: Path, pixels: np.ndarray) -> Path:
    """PIL writes no 16-bit colours: the format's own chunks, uncompressed filters."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    height, width, channels = pixels.shape
    header = struct.pack(">IIBBBBB", width, height, 16, {1: 0, 3: 2, 4: 6}[channels], 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    file.write_bytes(b"\x89PNG\r\n\x1a\n" + body)
    return file


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_a_16_bit_png_keeps_its_brightness(tmp_path: Path, channels: int) -> None:
    pixels = np.linspace(0, 65535, 8 * 6 * channels).astype(np.uint16).reshape(6, 8, channels)
    found = loaded(write_16_bit_png(tmp_path / "a.png", pixels)).astype(float)
    wanted = np.repeat(pixels, 3, -1) if channels == 1 else pixels
    assert np.abs(found - wanted / 257).max() <= 1


def test_linear_colours_of_an_exr_become_srgb_and_bright_ones_are_clipped(tmp_path: Path) -> None:
    openexr = pytest.importorskip("OpenEXR", reason="the extra photos is not installed")
    linear = np.zeros((2, 2, 3), np.float32)
    linear[0, 0], linear[0, 1], linear[1, 0] = 0.2140, 5.0, 0.001
    header = {"compression": openexr.ZIP_COMPRESSION, "type": openexr.scanlineimage}
    openexr.File(header, {"RGB": linear}).write(str(tmp_path / "a.exr"))
    assert image_size(tmp_path / "a.exr") == (2, 2)
    found = loaded(tmp_path / "a.exr")
    assert found[0, 0].tolist() == [127, 127, 127] or found[0, 0].tolist() == [128, 128, 128]
    assert found[0, 1].tolist() == [255, 255, 255]
    assert found[1, 0].tolist() == [3, 3, 3]


@pytest.mark.bad_input
def test_an_exr_with_pixels_that_are_no_numbers_is_refused(tmp_path: Path) -> None:
    openexr = pytest.importorskip("OpenEXR", reason="the extra photos is not installed")
    linear = np.zeros((2, 2, 3), np.float32)
    linear[0, 1, 2] = np.nan
    header = {"compression": openexr.ZIP_COMPRESSION, "type": openexr.scanlineimage}
    openexr.File(header, {"RGB": linear}).write(str(tmp_path / "a.exr"))
    with pytest.raises(BadInput, match=r"a.exr: wanted numbers in every pixel, found NaN in 1 of them"):
        loaded(tmp_path / "a.exr")


def test_heic_is_read(tmp_path: Path) -> None:
    heif = pytest.importorskip("pillow_heif", reason="the extra photos is not installed")
    heif.register_heif_opener()
    Image.new("RGB", (64, 48), (200, 100, 50)).save(tmp_path / "a.heic")
    assert image_size(tmp_path / "a.heic") == (64, 48)
    assert np.abs(loaded(tmp_path / "a.heic").astype(int) - (200, 100, 50)).max() < 12


def test_photographs_are_found_in_subfolders_and_2_comes_before_10(tmp_path: Path) -> None:
    for name in ("b/10.jpg", "b/2.JPG", "a.heic", ".hidden/3.jpg", "notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert [file.relative_to(tmp_path).as_posix() for file in find_photographs(tmp_path)] == [
        "a.heic",
        "b/2.JPG",
        "b/10.jpg",
    ]


@pytest.mark.bad_input
@pytest.mark.parametrize(("module", "name"), [("pillow_heif", "a.heic"), ("OpenEXR", "a.exr")])
def test_a_missing_package_is_named_with_its_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str, name: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    (tmp_path / name).write_bytes(b"anything")
    with pytest.raises(BadInput, match=r'pip install "scenekit\[photos\]"'):
        opened(tmp_path / name)


@pytest.mark.bad_input
@pytest.mark.parametrize("name", ["a.exr", "a.heic", "a.png"])
def test_what_is_no_image_is_refused_by_name(tmp_path: Path, name: str) -> None:
    pytest.importorskip("OpenEXR", reason="the extra photos is not installed")
    pytest.importorskip("pillow_heif", reason="the extra photos is not installed")
    (tmp_path / name).write_bytes(b"no image at all" * 10)
    with pytest.raises(BadInput, match=f"{name}: wanted an image, found none that can be read"):
        opened(tmp_path / name)
