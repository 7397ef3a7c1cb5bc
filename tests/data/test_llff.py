"""LLFF: intrinsics follow the images, and the nearest content lies at distance one."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

from scenekit.core.checks import BadInput
from scenekit.data import open_capture
from tests.data.captures import sample, write_llff


def test_cameras_gather_about_the_origin_and_the_nearest_depth_becomes_one(tmp_path: Path) -> None:
    capture = open_capture(write_llff(tmp_path, sample()))
    moved = capture.cameras.moved(capture.scene_from_world)
    torch.testing.assert_close(moved.centres.mean(0), torch.zeros(3, dtype=torch.float64))
    assert capture.scene_from_world.scale == pytest.approx(0.5)
    assert capture.bounds.contracted
    assert 0.5 < capture.bounds.near < 1


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("column", "value", "message"),
    [(3, np.nan, "NaN"), (14, -1.0, "focal"), (15, 0.0, "depth"), (4, 10.0, "proportions")],
)
def test_bad_rows_are_refused(tmp_path: Path, column: int, value: float, message: str) -> None:
    root = write_llff(tmp_path, sample())
    table = np.load(root / "poses_bounds.npy")
    table[2, column] = value
    np.save(root / "poses_bounds.npy", table)
    with pytest.raises(BadInput, match=message):
        open_capture(root)


@pytest.mark.bad_input
def test_a_table_of_another_shape_is_refused(tmp_path: Path) -> None:
    root = write_llff(tmp_path, sample())
    np.save(root / "poses_bounds.npy", np.zeros((10, 16)))
    with pytest.raises(BadInput, match="17 numbers"):
        open_capture(root)


@pytest.mark.bad_input
@pytest.mark.parametrize("header", [b"}", b"(3, 17), }" + 40 * b" " + b"-1", b"'shape': (3, 17), }"])
def test_a_header_that_ends_before_it_begins_is_refused(tmp_path: Path, header: bytes) -> None:
    file = write_llff(tmp_path, sample()) / "poses_bounds.npy"
    file.write_bytes(b"\x93NUMPY\x01\x00v\x00 " + header.ljust(116) + b"\n" + bytes(8 * 17))
    with pytest.raises(BadInput, match="wanted a NumPy array"):
        open_capture(tmp_path)


def test_a_header_of_python_2_is_read_without_a_warning(tmp_path: Path) -> None:
    file = write_llff(tmp_path, sample()) / "poses_bounds.npy"
    data = file.read_bytes()
    assert b", 17)" in data
    file.write_bytes(data.replace(b", 17), }   ", b", 17L), }  ", 1))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert open_capture(tmp_path).train
