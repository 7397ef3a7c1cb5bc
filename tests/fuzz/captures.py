"""Damaged captures: a small one in every format, one of its files changed.

Bytes anywhere, values of JSON, words of text and numbers of arrays are made hostile. Every reader has to answer with a
capture of finite cameras or with BadInput in one line, and so have those of single files (``files.py``: scenes of runs,
meshes, points, signals). Another exception, a warning, an abort or an allocation past ``splats.MEMORY`` is a fault.
``test_captures.py`` tries some in the gate, ``python -m tests.nightly.fuzz`` as many as one likes. What was found is
kept there and in the tests of the readers.
"""

from __future__ import annotations

import copy
import io
import json
import math
import operator
import random
import re
import shutil
import struct
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from scenekit.core.checks import BadInput
from scenekit.data import READERS, Capture, open_capture, synthetic
from tests.data.captures import WRITERS as OWN_WRITERS
from tests.data.captures import write_colmap
from tests.data.other_programs import OTHER_WRITERS
from tests.fuzz.files import FILES
from tests.fuzz.splats import TEXTS, WORDS, damaged

# Besides the formats: COLMAP's text, what is in the photographs of any of them, and files that are no captures.
TARGETS = (*READERS, "colmap_text", "images", *FILES)
VALUES: tuple[Any, ...] = (
    None, True, 0, -1, 1, 1e-320, 1e308, -1e308, 1e999, -1e999, float("nan"), 2**31, 2**63, 10**400, "", "NaN", "1",
    "\0",
    "../../../../etc/passwd", "/dev/zero", "..", "\ud800", "a" * 5000, [], {}, [[]], [0], {"": {}}, [1e999] * 4,
)  # fmt: skip
NUMBERS = (b"nan", b"inf", b"-inf", b"1e999", b"1e308", b"1e-320", b"0", b"-1", b"1", b"99999999999999999999", b"",
           b"0x10", b"1_0", b"x", b"\0", b"\xff", b"..", b"/etc/passwd", b"&amp;", b'"', b"<", b">", b",")  # fmt: skip
WORD = re.compile(rb"[-+\w.]+")
IMAGES = (".png", ".jpg")


def written(target: str, root: Path) -> Path:
    """A good capture of three photographs of 8x6 pixels."""
    capture = synthetic.make(3, (8, 6), points=4)
    if target in ("colmap", "colmap_text"):
        return write_colmap(root, capture, text=target == "colmap_text")
    return {**OWN_WRITERS, **OTHER_WRITERS}["transforms" if target == "images" else target](root, capture)


def files_of(target: str, root: Path) -> list[Path]:
    """What is to be damaged."""
    files = sorted(file for file in root.rglob("*") if file.is_file())
    return [file for file in files if (file.suffix in IMAGES) == (target == "images")]


def changed(file: Path, data: bytes, chance: random.Random) -> bytes:
    """The file with some of it hostile."""
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        data = chance.choice(_manners(file))(data, chance)
    return data


def _manners(file: Path) -> list[Callable[[bytes, random.Random], bytes]]:
    if file.suffix in (".json", ""):
        return [_json, _json, _json, _words, _bytes]
    if file.suffix == ".npy":
        return [_array, _array, _bytes]
    if file.suffix == ".npz":
        return [_archive, _archive, _bytes]
    if file.suffix == ".safetensors":
        return [_tensors, _tensors, _numbers, _bytes]
    return [_bytes] if file.suffix in (*IMAGES, ".bin") else [_words, _words, _words, _bytes]


def _bytes(data: bytes, chance: random.Random) -> bytes:
    kind = chance.choice(("flip", "byte", "word", "word", "text", "drop", "again", "end"))
    most = {"flip": 7, "byte": 255, "word": len(WORDS) - 1, "text": len(TEXTS) - 1, "drop": 64, "again": 64}
    place = chance.randrange(len(data) + 1) if chance.random() < 0.6 else chance.randrange(120)
    return damaged(data, [(kind, place, chance.randint(0, most.get(kind, 0)), chance.randint(0, 12))])


def _json(data: bytes, chance: random.Random) -> bytes:
    """One value, anywhere, is another, or gone, or stands under another name."""
    try:
        values = json.loads(data)
    except ValueError:
        return _bytes(data, chance)
    place = values
    while isinstance(place, dict | list) and place:
        key = chance.choice(list(place)) if isinstance(place, dict) else chance.randrange(len(place))
        inner = place[key]  # type: ignore[index]
        if not isinstance(inner, dict | list) or not inner or chance.random() < 0.2:
            if chance.random() < 0.15:
                del place[key]  # type: ignore[arg-type]
            else:
                place[key] = chance.choice(VALUES)  # type: ignore[index]
            break
        place = inner
    return json.dumps(values).encode()


def _words(data: bytes, chance: random.Random) -> bytes:
    found = list(WORD.finditer(data))
    if not found:
        return _bytes(data, chance)
    one = chance.choice(found)
    return data[: one.start()] + chance.choice((*NUMBERS, chance.choice(found).group())) + data[one.end() :]


def _array(data: bytes, chance: random.Random) -> bytes:
    try:
        table = np.load(io.BytesIO(data)).astype(np.float64)
    except Exception:  # damaged already, in whichever way numpy puts it
        return _bytes(data, chance)
    if table.size:
        table.reshape(-1)[chance.randrange(table.size)] = chance.choice((np.nan, np.inf, 0, -1, 1e308, 1e-320, 1e30))
    stream = io.BytesIO()
    np.save(stream, table)
    return stream.getvalue()


def _archive(data: bytes, chance: random.Random) -> bytes:
    """One of the files within is damaged, and packed again with a checksum that fits."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            parts = {name: archive.read(name) for name in archive.namelist()}
    except Exception:  # damaged already, in whichever way zipfile puts it
        return _bytes(data, chance)
    if not parts:  # an archive of nothing
        return _bytes(data, chance)
    name = chance.choice(list(parts))
    parts[name] = chance.choice((_array, _bytes))(parts[name], chance)
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for each, part in parts.items():
            archive.writestr(each, part)
    return stream.getvalue()


def _tensors(data: bytes, chance: random.Random) -> bytes:
    """The header says something else of its tensors."""
    length = int.from_bytes(data[:8], "little")
    header = _json(data[8 : 8 + length], chance)
    return len(header).to_bytes(8, "little") + header + data[8 + length :]


def _numbers(data: bytes, chance: random.Random) -> bytes:
    """Some number of a tensor is hostile; which tensor is as likely for small ones as for large."""
    start = 8 + int.from_bytes(data[:8], "little")
    try:
        tensors = json.loads(data[8:start])
        low, high = map(operator.index, chance.choice([each["data_offsets"] for each in tensors.values()]))
        place = start + 4 * chance.randrange(low // 4, high // 4)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError):  # damaged already
        return _bytes(data, chance)
    number = chance.choice((math.nan, math.inf, -math.inf, 0.0, -1.0, 1e38, 1e-40))
    return data[:place] + struct.pack("<f", number) + data[place + 4 :]


def survives(path: Path, read: Callable[[Path], object]) -> bool:
    """Whether something comes of it (True) or BadInput (False); anything else is an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            read(path)
        except BadInput as error:
            words = str(error)
            assert 0 < len(words) < 20_000, words[:200]
            assert "\n" not in words, words[:200]
            return False
    return True


def read_capture(root: Path) -> None:
    """As training does, with little room for photographs."""
    check(open_capture(root, cache_bytes=1 << 24))


def check(capture: Capture) -> None:
    """A capture that training can begin with."""
    assert capture.cameras.world_from_camera.isfinite().all(), "poses"
    assert capture.cameras.intrinsics.isfinite().all(), "intrinsics"
    assert (capture.cameras.intrinsics[:, :2] > 0).all(), "focal lengths"
    place = capture.scene_from_world
    assert torch.tensor([place.scale, *place.translation.tolist()]).isfinite().all(), "place"
    assert capture.cameras.moved(place).to(dtype=torch.float32).world_from_camera.isfinite().all(), "poses in the scene"
    assert capture.train, "nothing to learn from"
    if capture.points is not None:
        assert capture.points.positions.isfinite().all(), "points"
        assert capture.points.colors.isfinite().all(), "colours"
    for image, (width, height) in zip(capture.images, capture.cameras.sizes, strict=True):
        assert image.shape[:2] == (height, width), "sizes"


def needs(target: str) -> tuple[str, ...]:
    """Packages that its reader loads when it is first called; lenses and models of captures are pycolmap's."""
    return FILES[target].needs if target in FILES else ("pycolmap",)


class Target:
    """A good capture, or another file, in a folder; its files are damaged one at a time."""

    def __init__(self, name: str, folder: Path) -> None:
        if name in FILES:
            folder.mkdir(parents=True)
            self.root, self.read = FILES[name].write(folder), FILES[name].read
        else:
            self.root, self.read = written(name, folder), read_capture
        files = [self.root] if name in FILES else files_of(name, self.root)
        self.folder, self.good = folder, {file: file.read_bytes() for file in files}

    def copied(self, folder: Path) -> Target:
        """For another process, which damages files of its own."""
        shutil.copytree(self.folder, folder)
        other = copy.copy(self)
        other.folder, other.root = folder, folder / self.root.relative_to(self.folder)
        other.good = {folder / file.relative_to(self.folder): data for file, data in self.good.items()}
        return other

    def case(self, chance: random.Random) -> tuple[Path, bytes]:
        """Which file becomes what."""
        file = chance.choice(list(self.good))
        return file, changed(file, self.good[file], chance)

    def survives(self, file: Path, data: bytes) -> bool:
        """Try one case; the good file is back afterwards."""
        file.write_bytes(data)
        try:
            return survives(self.root, self.read)
        finally:
            file.write_bytes(self.good[file])
