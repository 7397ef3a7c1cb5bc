"""Files that once made a reader stumble, and files that ask for far more memory than they are worth."""

import io
import json
import struct
import tracemalloc
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch

from scenekit.assets.splats import CODECS
from scenekit.assets.splats.codec import UNPACKED_FLOOR, Damaged
from scenekit.assets.splats.containers import stored, webp
from scenekit.assets.splats.files import codec_of
from tests.assets.splats.written import encoded
from tests.fuzz.splats import survives
from tests.representations.gaussian_clouds import sample_cloud

FILES = sorted((Path(__file__).parent / "damaged").iterdir())


@pytest.mark.bad_input
@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_what_once_went_wrong_is_read_or_refused(file: Path) -> None:
    survives(codec_of(file), file.read_bytes())


def refused_within(name: str, data: bytes, most: int, words: str) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(Damaged, match=words):
            CODECS[name].decode(io.BytesIO(data))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < most, f"{peak / 2**20:.0f} MiB"


@pytest.mark.bad_input
def test_a_gzip_bomb_is_left_alone() -> None:
    packer = zlib.compressobj(1, wbits=31)
    count = 20_000_000
    header = struct.pack("<4sIIBBBB", b"NGSP", 3, count, 0, 12, 0, 0)
    data = packer.compress(header) + b"".join(packer.compress(bytes(1 << 22)) for _ in range(20)) + packer.flush()
    assert len(data) < 1 << 20
    refused_within("spz", data, 4 * UNPACKED_FLOOR, "unpacked")


@pytest.mark.bad_input
def test_a_zstandard_bomb_is_left_alone() -> None:
    import zstandard

    bomb = zstandard.ZstdCompressor(level=1).compress(bytes(1 << 26))
    header = struct.pack("<4sIIBBBBI12x", b"NGSP", 4, 1, 0, 12, 0, 5, 32)
    table = b"".join(struct.pack("<QQ", len(bomb), size) for size in (9, 1, 3, 3, 4))
    refused_within("spz", header + table + bomb * 5, 1 << 26, "a stream of 10 bytes, wanted 9")
    many = struct.pack("<4sIIBBBBI12x", b"NGSP", 4, 400_000_000, 0, 12, 0, 5, 32)
    refused_within("spz", many + table + bomb, 1 << 24, "bytes announced")


@pytest.mark.bad_input
def test_a_zip_bomb_is_left_alone() -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("meta.json", b" " * (1 << 27) + b"{}")
    refused_within("sog", stream.getvalue(), 1 << 24, "entry 'meta.json' of")


def sog_with(change: dict[str, object], pictures: dict[str, bytes]) -> bytes:
    with zipfile.ZipFile(io.BytesIO(encoded("sog", sample_cloud(9, 1)))) as archive:
        files = {name: archive.read(name) for name in archive.namelist()} | pictures
    files["meta.json"] = json.dumps(json.loads(files["meta.json"]) | change).encode()
    stream = io.BytesIO()
    stored(stream, list(files.items()))
    return stream.getvalue()


@pytest.mark.bad_input
def test_pictures_of_absurd_sizes_are_left_alone() -> None:
    small = webp(np.zeros((4, 4, 4), np.uint8))
    (word,) = struct.unpack_from("<I", small, 21)
    huge = small[:21] + struct.pack("<I", word | 0x0FFFFFFF) + small[25:]
    refused_within("sog", sog_with({}, {"means_l.webp": huge}), 1 << 24, "a picture of 16384x16384 pixels")
    refused_within("sog", sog_with({"count": 10**15}, {}), 1 << 24, "count")
    refused_within("sog", sog_with({"count": 10**6}, {}), 1 << 24, "pixels of means")


@pytest.mark.bad_input
@pytest.mark.parametrize("name", ["../../../etc/passwd", "/etc/passwd", "..\\secret", "", "\0", 7, None])
def test_names_that_lead_out_of_an_archive_lead_nowhere(name: object) -> None:
    data = sog_with({"quats": {"files": [name]}}, {})
    with pytest.raises(Damaged, match="no entry"):
        CODECS["sog"].decode(io.BytesIO(data))


@pytest.mark.bad_input
def test_counts_that_files_do_not_bear_out_allocate_nothing() -> None:
    good = encoded("ply", sample_cloud(5, 3))
    for count in (10**6, 10**12, 10**19, 2**63):
        data = good.replace(b"element vertex 5", b"element vertex %d" % count)
        refused_within("ply", data, 1 << 24, "rows of 'vertex' announced|bytes there")
        text = data.replace(b"binary_little_endian", b"ascii")
        refused_within("ply", text, 1 << 24, "rows announced")


def test_reading_takes_no_more_than_a_few_times_the_result() -> None:
    cloud = sample_cloud(5_000, 3)
    for name, codec in CODECS.items():
        if codec.encode is None:
            continue
        data = encoded(name, cloud.of_degree(min(3, codec.degree)))
        tracemalloc.start()
        found = codec.decode(io.BytesIO(data))
        peak = tracemalloc.get_traced_memory()[1]  # numpy's; torch's own is the result
        tracemalloc.stop()
        result = sum(4 * t.numel() for t in vars(found).values() if isinstance(t, torch.Tensor))
        assert peak + result < 12 * result, name
