import math
import struct
from pathlib import Path

import pytest
import torch

from scenekit.core.checks import BadInput
from scenekit.data.ply import read_points

HEADER = "ply\nformat ascii 1.0\ncomment by hand\nelement vertex 2\n"
PLACES = "property float x\nproperty float y\nproperty float z\n"
BYTES = "property uchar red\nproperty uchar green\nproperty uchar blue\n"


def test_text_gives_places_and_colours(tmp_path: Path) -> None:
    file = tmp_path / "a.ply"
    file.write_text(f"{HEADER}{PLACES}{BYTES}end_header\n1 2 3 255 0 51\n-1 0.5 0 0 0 0\n")
    cloud = read_points(file)
    torch.testing.assert_close(cloud.positions, torch.tensor([[1, 2, 3], [-1, 0.5, 0]], dtype=torch.float64))
    torch.testing.assert_close(cloud.colors, torch.tensor([[1, 0, 0.2], [0, 0, 0]], dtype=torch.float64))


@pytest.mark.parametrize(("order", "name"), [("<", "binary_little_endian"), (">", "binary_big_endian")])
def test_binary_of_either_order_gives_the_same_with_properties_between(tmp_path: Path, order: str, name: str) -> None:
    header = HEADER.replace("ascii", name) + PLACES.replace("float", "double") + "property float confidence\n"
    header += BYTES.replace("uchar", "float") + "element face 1\nproperty list uchar int vertex_index\nend_header\n"
    first = struct.pack(f"{order}3d4f", 1, 2, 3, 9, 0.25, 0.5, 1)
    nowhere = struct.pack(f"{order}3d4f", 4, 5, math.nan, 9, 0, 0, 0)
    face = struct.pack(f"{order}B3i", 3, 0, 1, 0)
    (tmp_path / "a.ply").write_bytes(header.encode() + first + nowhere + face)
    cloud = read_points(tmp_path / "a.ply")
    assert cloud.positions.tolist() == [[1, 2, 3]]
    assert cloud.colors.tolist() == [[0.25, 0.5, 1]]


def test_points_without_colours_are_grey(tmp_path: Path) -> None:
    file = tmp_path / "a.ply"
    file.write_text(f"{HEADER}{PLACES}end_header\n1 2 3\n4 5 6\n")
    assert read_points(file).colors.tolist() == [[0.5] * 3] * 2


@pytest.mark.bad_input
@pytest.mark.parametrize(
    "text",
    [
        "",
        "solid cube",
        HEADER,
        f"{HEADER}{PLACES}end_header\n1 2 3\n",
        f"{HEADER}{PLACES}end_header\n1 2 3\n4 five 6\n",
        f"{HEADER}property float x\nend_header\n1\n2\n",
        "ply\nformat ascii 1.0\nelement face 0\nend_header\n",
        HEADER.replace("vertex 2", "vertex 1000000000000000") + PLACES + "end_header\n1 2 3\n",
        HEADER.replace("vertex 2", "vertex -2") + PLACES + "end_header\n1 2 3\n4 5 6\n",
        HEADER.replace("ascii", "binary_little_endian") + PLACES + "end_header\n123",
        HEADER.replace("vertex 2", "vertex 1000000000000").replace("ascii", "binary_little_endian") + "end_header\n123",
        HEADER.replace("vertex 2", "vertex many") + PLACES + "end_header\n1 2 3\n",
        HEADER + PLACES.replace("float", "quaternion") + "end_header\n1 2 3\n4 5 6\n",
        f"{HEADER}{PLACES}property uchar red\nend_header\n1 2 3 4\n4 5 6 7\n",
    ],
)
def test_what_holds_no_points_is_one_sentence(tmp_path: Path, text: str) -> None:
    file = tmp_path / "a.ply"
    file.write_text(text)
    with pytest.raises(BadInput, match=r"a\.ply: wanted a \.ply file with points, found a damaged one") as error:
        read_points(file)
    assert "\n" not in str(error.value)


@pytest.mark.bad_input
def test_bytes_that_are_no_text_are_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "a.ply").write_bytes(b"ply\nformat \xff\xfe\n\x80end_header\n")
    with pytest.raises(BadInput, match="found a damaged one"):
        read_points(tmp_path / "a.ply")
