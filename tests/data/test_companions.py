"""Masks, measured depth and normals beside photographs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from scenekit.core.checks import BadInput
from scenekit.data import open_capture
from tests.data.captures import SIZE, edit_json, sample, write_transforms

WIDTH, HEIGHT = SIZE


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_transforms(tmp_path / "capture", sample())


def half_black() -> np.ndarray:
    mask = np.full((HEIGHT, WIDTH), 255, np.uint8)
    mask[:, : WIDTH // 2] = 0
    return mask


def put(folder: Path, name: str, pixels: np.ndarray) -> None:
    folder.mkdir(exist_ok=True)
    Image.fromarray(pixels).save(folder / name)


def test_a_capture_without_companions_has_none(root: Path) -> None:
    capture = open_capture(root)
    assert capture.masks is None
    assert capture.depths is None
    assert capture.normals is None


@pytest.mark.parametrize("name", ["view_003.png", "view_003.png.png"])
def test_a_mask_under_the_photographs_name_is_found_and_the_others_are_believed_whole(root: Path, name: str) -> None:
    put(root / "masks", name, half_black())
    masks = open_capture(root, downscale=2).masks
    assert masks is not None
    assert masks[3].shape == (HEIGHT // 2, WIDTH // 2)
    assert not masks[3][:, : WIDTH // 4].any()
    assert masks[3][:, WIDTH // 4 :].all()
    assert masks[2].all()


def test_depth_is_millimetres_in_world_units_and_nothing_where_nothing_was_measured(root: Path) -> None:
    depth = np.full((HEIGHT, WIDTH), 2500, np.uint16)
    depth[0] = 0
    put(root / "depths", "view_001.png", depth)
    depths = open_capture(root).depths
    assert depths is not None
    torch.testing.assert_close(depths[1][1:], torch.full((HEIGHT - 1, WIDTH), 2.5))
    assert not depths[1][0].any()
    assert not depths[0].any()


def test_normals_are_turned_into_the_world(root: Path) -> None:
    facing = np.zeros((HEIGHT, WIDTH, 3), np.float32)
    facing[..., 2] = -1  # towards the camera
    (root / "normals").mkdir()
    np.save(root / "normals" / "view_002.npy", facing)
    capture = open_capture(root)
    assert capture.normals is not None
    expected = -capture.cameras.forward[2].float()
    torch.testing.assert_close(capture.normals[2][3, 4], expected)


def test_a_mask_goes_through_the_lens_of_its_photograph(root: Path) -> None:
    edit_json(root / "transforms.json", k1=0.2, k2=0.0, p1=0.0, p2=0.0)
    put(root / "masks", "view_000.png", half_black())
    masks = open_capture(root).masks
    assert masks is not None
    assert masks[0].shape == (HEIGHT, WIDTH)
    assert 0.4 < masks[0].float().mean() < 0.6


@pytest.mark.bad_input
def test_a_mask_of_another_size_is_refused(root: Path) -> None:
    put(root / "masks", "view_003.png", half_black()[:-1])
    with pytest.raises(BadInput, match=rf"view_003.png: wanted {WIDTH}x{HEIGHT} like its photograph"):
        open_capture(root)


@pytest.mark.bad_input
def test_a_damaged_or_coloured_depth_file_is_refused(root: Path) -> None:
    put(root / "depths", "view_001.png", np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    with pytest.raises(BadInput, match="wanted one channel of depth"):
        open_capture(root)
    (root / "depths" / "view_001.png").write_bytes(b"no image")
    with pytest.raises(BadInput, match="wanted an image"):
        open_capture(root)
    (root / "depths" / "view_001.png").unlink()
    (root / "depths" / "view_001.npy").write_bytes(b"no array")
    with pytest.raises(BadInput, match="wanted an array of numbers"):
        open_capture(root)
