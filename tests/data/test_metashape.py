"""Metashape: its distortion formula, its component's frame, cameras that were not aligned."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from scenekit.core.checks import BadInput
from scenekit.data import open_capture
from scenekit.data.lens import project
from scenekit.data.readers import read_listing
from tests.data.captures import sample
from tests.data.other_programs import write_metashape


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_metashape(tmp_path / "capture", sample())


def edit(root: Path, old: str, new: str) -> None:
    text = (root / "cameras.xml").read_text()
    assert old in text
    (root / "cameras.xml").write_text(text.replace(old, new, 1))


@pytest.mark.parametrize("k3", [0.0, 0.01])
def test_distortion_follows_metashapes_formula(root: Path, k3: float) -> None:
    k1, k2, p1, p2, b1 = 0.1, -0.02, 0.003, -0.001, 0.5
    terms = {"k1": k1, "k2": k2, "k3": k3, "p1": p1, "p2": p2, "b1": b1}
    edit(root, "</calibration>", "".join(f"<{key}>{value}</{key}>" for key, value in terms.items()) + "</calibration>")
    lens = read_listing(root).photographs[0].lens
    focal = float(sample().cameras.intrinsics[0, 0])
    x, y = 0.3, -0.2
    r = x * x + y * y
    radial = 1 + k1 * r + k2 * r**2 + k3 * r**3
    u = x * radial + p1 * (r + 2 * x * x) + 2 * p2 * x * y
    v = y * radial + p2 * (r + 2 * y * y) + 2 * p1 * x * y
    wanted = (lens.size[0] / 2 + u * focal + u * b1, lens.size[1] / 2 + v * focal)
    assert project(lens, np.array([[x, y, 1.0]]))[0] == pytest.approx(wanted)


def test_cameras_that_were_not_aligned_are_counted(root: Path) -> None:
    edit(root, '<camera id="0"', '<camera id="99" sensor_id="0" label="lost"/><camera id="0"')
    capture = open_capture(root)
    assert (capture.describe()["images"], capture.describe()["registered"]) == (11, 10)
    assert "1 of 11 cameras" in capture.notes[0]


def test_labels_with_an_extension_or_a_path_find_their_image(root: Path) -> None:
    edit(root, 'label="view_000"', r'label="D:\photos\view_000.PNG"')
    edit(root, 'label="view_001"', 'label="view_001.png"')
    assert len(open_capture(root)) == len(sample())


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        ("</calibration>", "<k4>0.1</k4></calibration>", "without k4"),
        ("</calibration>", "<b2>5</b2></calibration>", "without b2"),
        ('type="frame"><resolution', 'type="spherical"><resolution', "found spherical"),
        ('sensor_id="0"', 'sensor_id="7"', "the calibration of camera view_000"),
        ("<transform>0", "<transform>x", "view_000|16 numbers"),
        ("<scale>2.0", "<scale>-1", "a positive scale"),
        ("<f>", "<f>-", "a size and focal length of camera view_000"),
        ("<chunk", "<block", "cannot be read"),
    ],
)
def test_what_cannot_be_used_is_refused(root: Path, old: str, new: str, found: str) -> None:
    text = (root / "cameras.xml").read_text()
    if old == "<transform>0":
        old = text[text.index("<transform>", text.index("<camera ")) :][:13]
        new = "<transform>x "
    edit(root, old, new)
    with pytest.raises(BadInput, match=found):
        open_capture(root)
