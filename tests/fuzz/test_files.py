"""What damaged files, no captures, once got through: each is refused now, in one sentence."""

from __future__ import annotations

import io
import json
import struct
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scenekit.core.checks import BadInput
from scenekit.data.signals import pixels
from tests.fuzz.captures import needs
from tests.fuzz.files import FILES

UNFINISHED = b"\x93NUMPY\x01\x00\x10\x00{'descr': (((   \n"  # a header is Python's source, as far as its first token


def chunk_length(data: bytes) -> bytes:
    """A GLB whose first chunk, it says, is of four gigabytes."""
    return data[:12] + struct.pack("<I", 2**32 - 16) + data[16:]


def of_others(data: bytes) -> bytes:
    """A GLB whose triangles want a vertex that it has not."""
    length = struct.unpack("<I", data[12:16])[0]
    values = json.loads(data[20 : 20 + length])
    indices = values["meshes"][0]["primitives"][0]["indices"]
    view = values["bufferViews"][values["accessors"][indices]["bufferView"]]
    place = 28 + length + view.get("byteOffset", 0)
    return data[:place] + struct.pack("<I", 60_000) + data[place + 4 :]


def without_names(data: bytes) -> bytes:
    """An EXR whose first attribute's name is no text."""
    return data[:8] + b"\xff" + data[9:]


def archive_of(data: bytes) -> bytes:
    """Distances of which one array is unfinished."""
    stream = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as good, zipfile.ZipFile(stream, "w") as bad:
        for name in good.namelist():
            bad.writestr(name, UNFINISHED if name.startswith("positions") else good.read(name))
    return stream.getvalue()


def too_large(data: bytes) -> bytes:
    """Numbers that float32 does not hold."""
    stream = io.BytesIO()
    np.save(stream, np.full((2, 2, 2), 1e300))
    return stream.getvalue()


def signalling(data: bytes) -> bytes:
    """No numbers, in bits that make a processor say so when they are narrowed."""
    stream = io.BytesIO()
    np.save(stream, np.full((2, 2, 2), 0x7FF0000000000001, np.uint64).view(np.float64))
    return stream.getvalue()


FOUND: dict[str, tuple[str, Callable[[bytes], bytes], str]] = {
    "a chunk of four gigabytes": ("mesh_glb", chunk_length, "wanted a mesh"),
    "vertices of others": ("mesh_glb", of_others, "triangles of its own vertices"),
    "names that are no text": ("panorama_exr", without_names, r"a whole \.exr file"),
    "a short first chunk": ("picture_png", lambda data: data[:8] + b"\0\0\0\1IHDR\0" + data[17:], "a whole picture"),
    "an unfinished array": ("volume_npy", lambda data: UNFINISHED, "one array of numbers"),
    "an unfinished array in an archive": ("distances", archive_of, "distances of a surface"),
    "numbers too large": ("volume_npy", too_large, "finite"),
    "bits that are no number": ("volume_npy", signalling, "finite"),
    "sizes left out": ("volume_nrrd", lambda data: data.replace(b"sizes: 5", b"sizes: \n5"), "positive sizes"),
    "a side below nothing": ("volume_npy", lambda data: data.replace(b"5, 4)", b"5,-4)"), "one array of numbers"),
    "five billion lines": (
        "panorama_hdr",
        lambda data: data.replace(b"-Y 4 +X 8", b"-Y 4999999999 +X 8"),
        "lines of 8",
    ),
    "a channel named by the end of a line": (
        "panorama_exr",
        lambda data: data.replace(b"R\0", b"\n\0", 1),
        "channels RGB",
    ),
}


@pytest.mark.bad_input
@pytest.mark.parametrize("name", FOUND)
def test_what_was_once_found_is_refused(name: str, tmp_path: Path) -> None:
    target, damage, words = FOUND[name]
    for package in needs(target):
        pytest.importorskip(package, reason="an extra is not installed")
    file = FILES[target].write(tmp_path)
    file.write_bytes(damage(file.read_bytes()))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(BadInput, match=words) as refused:
            FILES[target].read(file)
    assert "\n" not in str(refused.value)


@pytest.mark.bad_input
def test_a_picture_that_memory_does_not_hold_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "a.png"
    Image.new("RGB", (4, 4)).save(file)

    def full(image: Image.Image) -> np.ndarray:
        raise MemoryError

    monkeypatch.setattr(pixels, "_values", full)
    with pytest.raises(BadInput, match="found none that can be read \\(MemoryError\\)"):
        pixels.read_picture(file)


def test_a_volume_whose_range_float32_does_not_hold_is_grey_all_the_same(tmp_path: Path) -> None:
    file = tmp_path / "a.npy"
    np.save(file, np.linspace(-3e38, 3e38, 8, dtype=np.float32).reshape(2, 2, 2))
    FILES["volume_npy"].read(file)
