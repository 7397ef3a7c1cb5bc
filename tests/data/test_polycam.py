"""Polycam: corrected cameras first, LiDAR depth of fewer pixels."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from scenekit.core.checks import BadInput
from scenekit.data import open_capture
from tests.data.captures import edit_json, sample
from tests.data.other_programs import write_polycam


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_polycam(tmp_path / "capture", sample())


def test_corrected_cameras_take_precedence(root: Path) -> None:
    keyframes = root / "keyframes"
    for kind in ("cameras", "images"):
        shutil.copytree(keyframes / kind, keyframes / f"corrected_{kind}")
    edit_json(keyframes / "corrected_cameras" / "view_000.json", t_03=7.5)
    capture = open_capture(root)
    assert float(capture.cameras.centres[0, 0]) == 7.5
    assert open_capture(keyframes).names == capture.names


def test_depth_of_fewer_pixels_is_metres_at_the_photographs_size(root: Path) -> None:
    depth = np.full((6, 8), 1500, np.uint16)
    depth[:, 4:] = 3000
    (root / "keyframes" / "depth").mkdir()
    Image.fromarray(depth).save(root / "keyframes" / "depth" / "view_002.png")
    depths = open_capture(root).depths
    assert depths is not None
    assert depths[2].shape == (18, 24)
    torch.testing.assert_close(depths[2][:, 11:13], torch.tensor([1.5, 3.0]).expand(18, 2))
    assert not depths[0].any()


@pytest.mark.bad_input
def test_depth_of_other_proportions_is_refused(root: Path) -> None:
    (root / "keyframes" / "depth").mkdir()
    Image.fromarray(np.full((6, 6), 1500, np.uint16)).save(root / "keyframes" / "depth" / "view_002.png")
    with pytest.raises(BadInput, match=r"view_002.png: wanted the proportions 24x18 of its photograph, found 6x6"):
        open_capture(root)


@pytest.mark.bad_input
def test_a_camera_without_a_number_is_refused_by_name(root: Path) -> None:
    edit_json(root / "keyframes" / "cameras" / "view_003.json", t_12="x")
    with pytest.raises(BadInput, match=r"view_003.json: wanted a finite number under 't_12'"):
        open_capture(root)
