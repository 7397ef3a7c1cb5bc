"""Damaged splat files: good ones, and the parts inside packed ones, with a few bytes changed.

Every reader has to answer with Gaussians or with ``Damaged``; another exception, a warning, or an allocation past
``MEMORY`` is a fault. ``test_splats.py`` tries a few hundred with hypothesis; ``python -m tests.nightly.fuzz`` tries as
many as one likes, guided by coverage (``guided.py``). What was found is kept in ``tests/assets/splats/damaged``.
"""

from __future__ import annotations

import io
import struct
import warnings
import zipfile
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from hypothesis import strategies as st

from scenekit.assets.splats import CODECS
from scenekit.assets.splats.codec import Damaged
from scenekit.assets.splats.containers import stored
from scenekit.assets.splats.files import made_finite
from tests.assets.splats.written import SAMPLES, checkpoint, encoded, ksplat, sog_of_version_1, spz
from tests.representations.gaussian_clouds import sample_cloud

# Files here are smaller than 64 KiB, so that what is packed may unpack to 64 MiB; the readers' own copies of that,
# as float32 and in between as float64, are a few times as much.
MEMORY = 1 << 30
WORDS = (0, 1, 2, 255, 65535, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0x7FC00000, 0x7F800000, 0xFF800000, 0x7149F2CA)
TEXTS = (b"999999999999", b"-1", b"1e999", b"NaN", b"../../../etc/passwd", b"null", b"[[[[[[[[", b"{}", b"0", b"\n")


@dataclass(frozen=True)
class Seed:
    """A good file as parts that may be damaged one by one, and how to make a file of them."""

    parts: Sequence[bytes]
    whole: Callable[[Sequence[bytes]], bytes] = lambda parts: parts[0]


Edit = tuple[str, int, int, int]


def seeds_of(name: str) -> list[Seed]:
    """Small good files of a format, whole and in parts."""
    plain = [Seed([SAMPLES[name]()])]
    if name == "spz":
        files = [spz(sample_cloud(9, 1), version) for version in (1, 2)] + [encoded("spz", sample_cloud(9, 2))]
        plain += [Seed([spz(sample_cloud(9, 1), 4)])]
        plain += [Seed([zlib.decompress(file, 31)], lambda parts: zlib.compress(parts[0], 1, 31)) for file in files]
    elif name == "sog":
        files = [encoded("sog", sample_cloud(9, 1)), sog_of_version_1(sample_cloud(9, 1))]
        plain += [_zipped(file) for file in files]
    elif name == "checkpoint":
        plain += [Seed([checkpoint(sample_cloud(2, 1), trainer)]) for trainer in ("nerfstudio", "inria")]
        plain += [_zipped(checkpoint(sample_cloud(2, 1), "gsplat"))]
    elif name == "ksplat":
        plain += [Seed([ksplat(sample_cloud(14, degree), level)]) for degree, level in ((0, 0), (2, 2))]
    elif name in ("ply", "glb", "compressed_ply"):
        plain += [
            Seed([encoded(name, sample_cloud(5, 2))]),
            Seed(_header_apart(encoded(name, sample_cloud(5, 0))), b"".join),
        ]
    return plain


def _header_apart(data: bytes) -> list[bytes]:
    end = data.find(b"end_header") if data.startswith(b"ply") else 20 + struct.unpack_from("<I", data, 12)[0]
    return [data[:end], data[end:]]


def _zipped(data: bytes) -> Seed:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        names = archive.namelist()
        parts = [archive.read(name) for name in names]

    def whole(changed: Sequence[bytes]) -> bytes:
        stream = io.BytesIO()
        stored(stream, list(zip(names, changed, strict=True)))
        return stream.getvalue()

    return Seed(parts, whole)


def _place() -> st.SearchStrategy[int]:
    return st.one_of(st.integers(0, 120), st.integers(0, 1 << 14))


EDITS = st.lists(
    st.one_of(
        st.tuples(st.just("flip"), _place(), st.integers(0, 7), st.just(0)),
        st.tuples(st.just("byte"), _place(), st.integers(0, 255), st.just(0)),
        st.tuples(st.just("word"), _place(), st.integers(0, len(WORDS) - 1), st.just(0)),
        st.tuples(st.just("text"), _place(), st.integers(0, len(TEXTS) - 1), st.integers(0, 12)),
        st.tuples(st.just("drop"), _place(), st.integers(1, 64), st.just(0)),
        st.tuples(st.just("again"), _place(), st.integers(1, 64), st.just(0)),
        st.tuples(st.just("end"), _place(), st.just(0), st.just(0)),
    ),
    min_size=1,
    max_size=5,
)


def damaged(data: bytes, edits: Sequence[Edit]) -> bytes:
    """``data`` with every edit made, one after another."""
    for kind, place, value, length in edits:
        at = place % (len(data) + 1)
        if kind == "flip":
            data = data[:at] + bytes([b ^ (1 << value) for b in data[at : at + 1]]) + data[at + 1 :]
        elif kind == "byte":
            data = data[:at] + bytes([value]) + data[at + 1 :]
        elif kind == "word":
            data = data[:at] + struct.pack("<I", WORDS[value]) + data[at + 4 :]
        elif kind == "text":
            data = data[:at] + TEXTS[value] + data[at + length :]
        elif kind == "drop":
            data = data[:at] + data[at + value :]
        elif kind == "again":
            data = data[: at + value] + data[at:]
        else:
            data = data[:at]
    return data


def survives(name: str, data: bytes) -> bool:
    """Whether a reader gives Gaussians (True) or says Damaged (False) of ``data``; anything else is an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            cloud = CODECS[name].decode(io.BytesIO(data))
        except Damaged as error:
            words = str(error)
            if not 0 < len(words) < 400 or "\n" in words:
                raise AssertionError(f"{name} says {words!r}") from error
            return False
        finite, _ = made_finite(cloud)
    for values in (finite.means, finite.log_scales, finite.quaternions, finite.opacity_logits, finite.harmonics):
        assert values.dtype == torch.float32
        assert values.isfinite().all()
    assert 0 <= finite.degree <= CODECS[name].degree
    return True
