import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from scenekit.core.checks import BadInput
from scenekit.data.signals import open_signal
from scenekit.data.signals.pixels import picture_size, read_picture
from scenekit.data.signals.radiance import read_radiance, write_radiance


def save(path: Path, array: np.ndarray) -> Path:
    Image.fromarray(array).save(path)
    return path


def deep_png(path: Path) -> Path:
    """A PNG of 16-bit colours, which PIL cannot write."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = zlib.compress(b"".join(b"\0" + bytes(2 * 3 * 4) for _ in range(4)))
    header = struct.pack(">IIBBBBB", 4, 4, 16, 2, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b""))
    return path


def run_lengths(colors: torch.Tensor) -> bytes:
    """The same .hdr file as write_radiance, with every line in runs and stretches."""
    head, _, body = write_radiance(colors).partition(b"\n\n")
    resolution, _, pixels = body.partition(b"\n")
    height, width = colors.shape[:2]
    coded = bytearray(head + b"\n\n" + resolution + b"\n")
    for line in np.frombuffer(pixels, dtype=np.uint8).reshape(height, width, 4):
        coded += bytes([2, 2, width >> 8, width & 255])
        for channel in range(4):
            values = line[:, channel].tolist()
            coded += bytes([128 + 3, values[0]]) if len(set(values[:3])) == 1 else bytes([3, *values[:3]])
            coded += bytes([width - 3, *values[3:]])
    return bytes(coded)


@pytest.mark.parametrize(
    ("shape", "channels"), [((3, 5), 1), ((3, 5, 3), 3), ((3, 5, 4), 4)], ids=["grey", "colour", "alpha"]
)
def test_bytes_are_kept_as_they_are(tmp_path: Path, shape: tuple[int, ...], channels: int) -> None:
    array = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    picture = read_picture(save(tmp_path / "a.png", array))
    assert picture.size == (5, 3)
    assert picture.channels == channels
    assert not picture.linear
    assert np.array_equal(picture.pixels.numpy().reshape(array.shape), array)
    assert float(picture.at(torch.tensor([7]))[0, 0]) == pytest.approx(array.reshape(15, -1)[7, 0] / 255)


def test_16_bit_grey_keeps_its_lower_bits(tmp_path: Path) -> None:
    array = np.array([[0, 1, 300], [65535, 32768, 77]], dtype=np.uint16)
    picture = read_picture(save(tmp_path / "deep.png", array))
    assert torch.allclose(picture.pixels[..., 0], torch.from_numpy(array.astype(np.float32)) / 65535)


def test_a_photograph_is_turned_as_its_camera_says(tmp_path: Path) -> None:
    image = Image.new("RGB", (6, 2))
    exif = image.getexif()
    exif[0x0112] = 6  # a quarter turn
    image.save(tmp_path / "turned.jpg", exif=exif)
    assert read_picture(tmp_path / "turned.jpg").size == (2, 6)


def test_radiance_pictures_survive_writing_and_reading_with_and_without_runs(tmp_path: Path) -> None:
    colors = torch.rand(4, 16, 3, generator=torch.Generator().manual_seed(0)) ** 8 * 1000
    colors[1, :8] = colors[1, 0]
    colors[2, 3] = 0
    file = tmp_path / "a.hdr"
    for data in (write_radiance(colors), run_lengths(colors)):
        file.write_bytes(data)
        found = read_radiance(file)
        assert found.shape == colors.shape
        assert ((found - colors).abs() <= colors.amax(-1, keepdim=True) / 128).all()
        file.write_bytes(write_radiance(found))
        assert torch.equal(read_radiance(file), found)
        assert picture_size(file) == (16, 4)


def test_an_exr_file_gives_its_linear_colors(tmp_path: Path) -> None:
    exr = pytest.importorskip("OpenEXR", reason="the extra 'photos' is not installed")
    values = np.random.default_rng(0).random((4, 6, 3), dtype=np.float32) * 9
    header = {"compression": exr.ZIP_COMPRESSION, "type": exr.scanlineimage}
    with exr.File(header, {"RGB": values}) as file:
        file.write(str(tmp_path / "a.exr"))
    picture = read_picture(tmp_path / "a.exr")
    assert picture.linear
    assert np.array_equal(picture.pixels.numpy(), values)


@pytest.mark.bad_input
def test_a_16_bit_colour_picture_is_refused_instead_of_losing_its_lower_bits(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="wanted 8-bit colours or 16-bit grey, found a PNG with 16-bit colours"):
        read_picture(deep_png(tmp_path / "deep.png"))


@pytest.mark.bad_input
def test_a_picture_of_one_pixel_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="at least 2x2 pixels, found 1x1"):
        open_signal(save(tmp_path / "one.png", np.zeros((1, 1, 3), np.uint8)))


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("a.png", b"no picture", "none that can be read"),
        ("a.hdr", b"no picture", "wanted a Radiance picture"),
        ("a.hdr", b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y 8 +X 16\n\2\2\0\20\1", "wanted 8 lines of 16 pixels"),
        ("a.hdr", b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y 1 +X 8\n\2\2\0\10" + b"\xff\1" * 4, "8 pixels"),
        ("a.exr", b"no picture", "wanted"),
    ],
)
def test_a_damaged_picture_is_one_sentence(tmp_path: Path, name: str, data: bytes, words: str) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(BadInput, match=words):
        open_signal(tmp_path / name)


@pytest.mark.bad_input
def test_a_picture_beyond_the_stated_bound_is_refused_by_its_header(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = Image.MAX_IMAGE_PIXELS
    monkeypatch.setattr("scenekit.data.signals.pixels.LARGEST_PIXELS", 60)
    with pytest.raises(BadInput, match="10x10"):
        read_picture(save(tmp_path / "large.png", np.zeros((10, 10), np.uint8)))
    monkeypatch.undo()
    assert read_picture(tmp_path / "large.png").size == (10, 10)
    assert usual == Image.MAX_IMAGE_PIXELS
