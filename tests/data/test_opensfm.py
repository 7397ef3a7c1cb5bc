"""OpenSfM: lenses in units of the longer side, several parts, unknown projections."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scenekit.core.checks import BadInput
from scenekit.data import open_capture
from scenekit.data.lens import project
from scenekit.data.readers import read_listing
from tests.data.captures import sample
from tests.data.other_programs import write_opensfm


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_opensfm(tmp_path / "capture", sample())


def edit(root: Path, **camera: Any) -> None:
    parts = json.loads((root / "reconstruction.json").read_text())
    parts[0]["cameras"]["c"] = {"width": 24, "height": 18, **camera}
    (root / "reconstruction.json").write_text(json.dumps(parts))


def test_the_file_itself_can_be_named(root: Path) -> None:
    assert len(open_capture(root / "reconstruction.json")) == len(sample())


def test_a_perspective_camera_counts_in_its_longer_side(root: Path) -> None:
    edit(root, projection_type="perspective", focal=0.9, k1=0.1, k2=-0.05)
    lens = read_listing(root).photographs[0].lens
    x, y = 0.3, 0.2
    squared = x * x + y * y
    factor = 24 * 0.9 * (1 + 0.1 * squared - 0.05 * squared**2)
    assert project(lens, np.array([[x, y, 1.0]]))[0] == pytest.approx((12 + factor * x, 9 + factor * y))


def test_a_fisheye_bends_by_the_angle(root: Path) -> None:
    edit(root, projection_type="fisheye", focal=0.5, k1=0.02, k2=0.001)
    lens = read_listing(root).photographs[0].lens
    angle = 0.7
    bent = angle * (1 + 0.02 * angle**2 + 0.001 * angle**4)
    found = project(lens, np.array([[math.sin(angle), 0.0, math.cos(angle)]]))[0]
    assert found == pytest.approx((12 + 12 * bent, 9))


def test_the_largest_of_several_parts_is_used_and_said(root: Path) -> None:
    parts = json.loads((root / "reconstruction.json").read_text())
    shots = list(parts[0]["shots"].items())
    halves = [dict(shots[:3]), dict(shots[3:])]
    parts = [{**parts[0], "shots": half} for half in halves]
    (root / "reconstruction.json").write_text(json.dumps(parts))
    capture = open_capture(root)
    assert (len(capture), capture.describe()["images"]) == (7, 10)
    assert "holds 2 separate parts; the largest is used" in capture.notes[0]


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("camera", "found"),
    [
        ({"projection_type": "spherical", "focal": 1.0}, "found spherical"),
        ({"projection_type": "perspective"}, "a size and focal length in camera 'c'"),
        ({"projection_type": "perspective", "focal": "long"}, "a finite number under 'focal'"),
    ],
)
def test_cameras_that_cannot_be_used_are_refused(root: Path, camera: dict[str, Any], found: str) -> None:
    edit(root, **camera)
    with pytest.raises(BadInput, match=found):
        open_capture(root)


@pytest.mark.bad_input
@pytest.mark.parametrize("part", ["camera", "rotation"])
def test_a_shot_without_its_parts_is_refused(root: Path, part: str) -> None:
    parts = json.loads((root / "reconstruction.json").read_text())
    del parts[0]["shots"]["view_003.png"][part]
    (root / "reconstruction.json").write_text(json.dumps(parts))
    with pytest.raises(BadInput, match=r"shot 'view_003.png'"):
        open_capture(root)


@pytest.mark.bad_input
def test_a_file_of_another_kind_is_refused(root: Path) -> None:
    (root / "reconstruction.json").write_text("{}")
    with pytest.raises(BadInput, match="wanted a list of reconstructions"):
        open_capture(root)
