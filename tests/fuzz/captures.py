"""Damaged captures by the million: ``python -m tests.fuzz.captures transforms --cases 1000000``.

A small capture in every format, one of its files changed: bytes anywhere; values of JSON, words of text and numbers
of arrays by hostile ones. Every reader has to answer with a capture of finite cameras or with BadInput in one line, and
so have those of single files (``files.py``: scenes of runs, meshes, points, signals). Another exception, an abort or an
allocation past ``MEMORY`` is a fault. ``test_captures.py`` tries some in the gate. What was found is kept there and in
the tests of the readers. A command that was ended goes on where it was.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import math
import operator
import os
import random
import re
import resource
import struct
import sys
import tempfile
import time
import traceback
import warnings
import zipfile
from collections import Counter
from collections.abc import Callable
from importlib import import_module
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
from tests.fuzz.tally import FOLDER, Tally

MEMORY = 1 << 30
BATCH = 500  # cases of one child: an abort ends no more
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
    """Packages that its reader loads when it is first called."""
    if target in ("colmap", "colmap_text"):
        return ("pycolmap",)
    return FILES[target].needs if target in FILES else ()


class Target:
    """A good capture, or another file, on disk; its files are damaged one at a time."""

    def __init__(self, name: str, root: Path) -> None:
        if name in FILES:
            root.mkdir(parents=True)
            self.root, self.read = FILES[name].write(root), FILES[name].read
        else:
            self.root, self.read = written(name, root), read_capture
        files = [self.root] if name in FILES else files_of(name, self.root)
        self.good = {file: file.read_bytes() for file in files}

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


def fuzz(name: str, cases: int, until: float, output: Path) -> int:
    """Go on from where ``output`` says, until so many were tried or the clock says ``until``; how many faults."""
    tally = Tally.of(name, output)
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as folder:
        target = Target(name, Path(folder) / "capture")
        while tally.cases < cases and time.monotonic() < until:
            count = min(BATCH, cases - tally.cases)
            found, seconds = _in_a_child(target, count, 1 + tally.cases, output / name)
            tally.cases += count
            tally.cpu_seconds += seconds
            tally.read += found.pop("read", 0)
            tally.longest = max(tally.longest, found.pop("longest", 0) / 1e6)
            tally.places.update(found)
            tally.save()
    tally.report(cases)
    return len(tally.places)


def _in_a_child(target: Target, cases: int, seed: int, output: Path) -> tuple[Counter[str], float]:
    """What it found, and the processor time that took."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            found = _tried(target, cases, random.Random(seed), output)
            with os.fdopen(writing, "w") as stream:
                json.dump(found, stream)
            os._exit(0)
        finally:
            traceback.print_exc()
            os._exit(1)
    os.close(writing)
    with os.fdopen(reading) as stream:
        told = stream.read()
    _, status, used = os.wait4(child, 0)
    code = os.waitstatus_to_exitcode(status)
    for file, data in target.good.items():
        file.write_bytes(data)
    found = json.loads(told) if code == 0 else {f"ended with {code}, after {output}/last": 1}
    return Counter(found), used.ru_utime + used.ru_stime


def _tried(target: Target, cases: int, chance: random.Random, output: Path) -> Counter[str]:
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, resource.RLIM_INFINITY))
    output.mkdir(parents=True, exist_ok=True)
    found: Counter[str] = Counter()
    for _ in range(cases):
        file, data = target.case(chance)
        (output / "last").write_bytes(data)
        began = time.perf_counter()
        try:
            found["read"] += target.survives(file, data)
        except Exception as error:
            frames = traceback.extract_tb(error.__traceback__)
            ours = next((f for f in reversed(frames) if "/scenekit/" in f.filename), frames[-1])
            where = f"{type(error).__name__} in {Path(ours.filename).name}:{ours.lineno}: {str(error)[:80]!r}"
            if where not in found:
                (output / f"{digest(data)}-{file.name}").write_bytes(data)
            found[where] += 1
        found["longest"] = max(found["longest"], round(1e6 * (time.perf_counter() - began)))
    return found


def digest(data: bytes) -> str:
    """A short name for a finding."""
    return hashlib.sha256(data).hexdigest()[:12]


def main() -> None:
    """Fuzz the targets named, or all."""
    parser = argparse.ArgumentParser(description="Damaged captures against their readers.")
    parser.add_argument("targets", nargs="*", default=list(TARGETS))
    parser.add_argument("--cases", type=int, default=1_000_000, help="of each; those that --output counts already too")
    parser.add_argument("--minutes", type=float, default=math.inf, help="stop then; the same command goes on")
    parser.add_argument("--output", type=Path, default=FOLDER)
    options = parser.parse_args()
    torch.set_num_threads(1)
    until = time.monotonic() + 60 * options.minutes
    for target in options.targets:  # before memory is limited, and before warnings are faults
        for package in needs(target):
            import_module(package)
    sys.exit(1 if sum(fuzz(name, options.cases, until, options.output) for name in options.targets) else 0)


if __name__ == "__main__":
    main()
