"""RealityCapture: angles as a surveyor means them, lengths for 36 mm film."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image

from scenekit.core.checks import BadInput
from scenekit.data import open_capture
from scenekit.data.readers import read_listing
from tests.data.captures import sample
from tests.data.other_programs import write_realitycapture

HEADER = "#name,x,y,alt,heading,pitch,roll,f,px,py,k1,k2,k3,k4,t1,t2"
EAST, NORTH, UP = torch.eye(3, dtype=torch.float64)


def write(root: Path, row: str, header: str = HEADER) -> Path:
    for name in ("a", "b"):
        Image.new("RGB", (24, 18)).save(root / f"{name}.png")
    (root / "cameras.csv").write_text(f"{header}\na.png,{row}\nb.png,{row}\n")
    return root


@pytest.mark.parametrize(
    ("angles", "forward", "top"),
    [
        ("0,0,0", -UP, NORTH),
        ("90,0,0", -UP, EAST),
        ("0,90,0", NORTH, UP),
        ("90,90,0", EAST, UP),
    ],
)
def test_angles_turn_the_camera_from_looking_down(
    tmp_path: Path, angles: str, forward: torch.Tensor, top: torch.Tensor
) -> None:
    pose = read_listing(write(tmp_path, f"1,2,3,{angles},36,0,0,0,0,0,0,0,0")).photographs[0].world_from_camera
    torch.testing.assert_close(pose[:, 2], forward)
    torch.testing.assert_close(-pose[:, 1], top)
    assert pose[:, 3].tolist() == [1, 2, 3]


def test_lengths_are_for_film_of_36_mm(tmp_path: Path) -> None:
    lens = read_listing(write(tmp_path, "0,0,0,0,0,0,18,3,-1.5,0,0,0,0,0,0")).photographs[0].lens
    assert lens.intrinsics == (12, 12, 14, 8)


def test_a_folder_of_photographs_with_another_table_is_none_of_these(tmp_path: Path) -> None:
    write(tmp_path, "1", "time")
    with pytest.raises(BadInput, match="photographs without; make one"):
        open_capture(tmp_path)


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("row", "found"),
    [
        ("0,0,0,0,0,0,18,0,0,0,0,0,0.5,0,0", "found k4 = 0.5 for a.png"),
        ("0,0,north,0,0,0,18,0,0,0,0,0,0,0,0", "a number under alt for 'a.png', found 'north'"),
        ("0,0,0,0,0,0,-18,0,0,0,0,0,0,0,0", "a focal length for a.png"),
    ],
)
def test_rows_that_cannot_be_used_are_refused(tmp_path: Path, row: str, found: str) -> None:
    with pytest.raises(BadInput, match=found):
        open_capture(write(tmp_path, row))


@pytest.mark.bad_input
def test_another_export_is_refused(tmp_path: Path) -> None:
    root = write_realitycapture(tmp_path / "capture", sample())
    text = (root / "cameras.csv").read_text()
    (root / "cameras.csv").write_text(text.replace("heading", "yaw"))
    with pytest.raises(BadInput, match=r"wanted the column heading.*Internal/External camera parameters"):
        open_capture(root)
    head, first, *rest = text.splitlines(keepends=True)
    # A name that comes twice is the later one's, which a short row does not have.
    (root / "cameras.csv").write_text("".join([f"{head.strip()},#name\n", f"{first.strip()},{first}", *rest]))
    with pytest.raises(BadInput, match=r"wanted a name in every row, found none in row 2"):
        open_capture(root)
