"""A few damaged captures for every reader, the gate's share of ``tests.nightly.fuzz``; names that lead out."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pytest

from scenekit.core.checks import BadInput
from scenekit.data import open_capture
from tests.fuzz.captures import TARGETS, Target, needs, survives, written


@pytest.mark.bad_input
@pytest.mark.parametrize("name", TARGETS)
def test_damaged_captures_are_read_or_refused(name: str, tmp_path: Path) -> None:
    for package in needs(name):
        pytest.importorskip(package, reason="an extra is not installed")
    target, chance = Target(name, tmp_path / "capture"), random.Random(7)
    for _ in range(80):
        target.survives(*target.case(chance))
    assert survives(target.root, target.read)


def refused(name: str, tmp_path: Path, change: dict[str, bytes], words: str) -> None:
    root = written(name, tmp_path / "capture")
    for file, data in change.items():
        (root / file).write_bytes(data)
    with pytest.raises(BadInput, match=words):
        open_capture(root)


@pytest.mark.bad_input
@pytest.mark.parametrize(
    "declared",
    [
        b'<!DOCTYPE d [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>',
        b'<!DOCTYPE d [<!ENTITY a SYSTEM "file:///etc/passwd">]>',
    ],
)
def test_entities_are_not_expanded(declared: bytes, tmp_path: Path) -> None:
    text = b'<?xml version="1.0"?>' + declared + b"<document><chunk>&b;&a;</chunk></document>"
    refused("metashape", tmp_path, {"cameras.xml": text}, "it declares entities")


@pytest.mark.bad_input
@pytest.mark.parametrize("name", ["../" * 20 + "etc/passwd", "/etc/passwd", "/dev/zero", "a" * 5000, "images/\0.png"])
def test_image_paths_that_lead_elsewhere_are_images_or_nothing(name: str, tmp_path: Path) -> None:
    root = written("transforms", tmp_path / "capture")
    values = json.loads((root / "transforms.json").read_text())
    for frame in values["frames"]:
        frame["file_path"] = name
    (root / "transforms.json").write_text(json.dumps(values))
    with pytest.raises(BadInput, match=r"images such as|wanted an image"):
        open_capture(root)


@pytest.mark.bad_input
def test_arrays_of_python_objects_are_not_unpickled(tmp_path: Path) -> None:
    opened: list[int] = []

    class Trap:
        def __reduce__(self) -> tuple:
            return opened.append, (1,)

    root = written("llff", tmp_path / "capture")
    np.save(root / "poses_bounds.npy", np.array([[Trap()]], dtype=object), allow_pickle=True)
    with pytest.raises(BadInput, match="NumPy array"):
        open_capture(root)
    assert not opened


@pytest.mark.bad_input
def test_what_was_once_found_is_refused_in_one_sentence(tmp_path: Path) -> None:
    root = written("colmap", tmp_path / "a" / "capture")
    cameras = bytearray((root / "sparse/0/cameras.bin").read_bytes())
    cameras[:8] = (1 << 60).to_bytes(8, "little")  # pycolmap looked for all of them
    refused("colmap", tmp_path / "b", {"sparse/0/cameras.bin": bytes(cameras)}, "announces 1152921504606846976 entries")
    header = b"\x93NUMPY\x01\x00\x10\x00{'descr': (((   \n"
    refused("llff", tmp_path / "c", {"poses_bounds.npy": header}, "NumPy array")
    frames = b'{"fl_x": 9, "frames": [{"file_path": "a", "transform_matrix": [[1' + 400 * b"0" + b"]]}]}"
    refused("transforms", tmp_path / "f", {"transforms.json": frames}, "wanted a 4x4 pose for a")
    values = b'[{"cameras": [], "shots": 7}]'
    refused("opensfm", tmp_path / "d", {"reconstruction.json": values}, "a list of reconstructions")
    refused("bundler", tmp_path / "e", {"bundle.out": b"1e999 0\n"}, "wanted a number of things, found inf")
