"""Loading: exact box averages, alpha kept honest, and refusals that name the file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from scenekit.core.checks import BadInput
from scenekit.data import decode, open_capture
from scenekit.data.images import load_images
from scenekit.data.lens import Lens
from scenekit.data.listing import Photograph
from tests.data.captures import sample, write_images, write_transforms

POSE = torch.eye(4, dtype=torch.float64)[:3]


def photograph(path: Path, size: tuple[int, int]) -> Photograph:
    return Photograph(path.name, path, Lens.pinhole(size, 10.0, 10.0, size[0] / 2, size[1] / 2), POSE)


def test_shrinking_averages_boxes(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (12, 16, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    (loaded,), cameras = load_images([photograph(tmp_path / "a.png", (16, 12))], 4.0)
    wanted = pixels.reshape(3, 4, 4, 4, 3).astype(float).mean((1, 3))
    assert np.abs(loaded.numpy() - wanted).max() <= 0.51
    assert cameras.intrinsics[0].tolist() == [2.5, 2.5, 2.0, 1.5]


def test_sizes_that_do_not_divide_are_rounded_and_the_intrinsics_follow_each_side(tmp_path: Path) -> None:
    Image.new("RGB", (15, 10)).save(tmp_path / "a.png")
    (loaded,), cameras = load_images([photograph(tmp_path / "a.png", (15, 10))], 4.0)
    assert loaded.shape == (2, 4, 3)
    assert cameras.intrinsics[0].tolist() == pytest.approx([10 * 4 / 15, 10 * 2 / 10, 2.0, 1.0])


def test_transparent_pixels_lend_no_colour_to_their_neighbours(tmp_path: Path) -> None:
    pixels = np.zeros((2, 2, 4), np.uint8)
    pixels[0, 0] = (200, 100, 50, 255)
    pixels[1, 1] = (0, 255, 0, 0)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    (loaded,), _ = load_images([photograph(tmp_path / "a.png", (2, 2))], 2.0)
    assert loaded[0, 0, 3] == 64
    assert (loaded[0, 0, :3].int() - torch.tensor([200, 100, 50])).abs().max() <= 2


@pytest.mark.parametrize("mode", ["L", "LA", "P", "1", "CMYK", "I;16"])
def test_every_kind_of_image_becomes_rgb_or_rgba(tmp_path: Path, mode: str) -> None:
    file = tmp_path / ("a.tiff" if mode == "CMYK" else "a.png")
    Image.new(mode, (4, 4)).save(file)
    (loaded,), _ = load_images([photograph(file, (4, 4))])
    assert loaded.shape == (4, 4, 4 if mode == "LA" else 3)


def test_images_of_several_sizes_may_share_a_capture(tmp_path: Path) -> None:
    for name, size in (("a.png", (8, 6)), ("b.png", (6, 8))):
        Image.new("RGB", size).save(tmp_path / name)
    loaded, cameras = load_images([photograph(tmp_path / "a.png", (8, 6)), photograph(tmp_path / "b.png", (6, 8))], 2.0)
    assert [tuple(image.shape) for image in loaded] == [(3, 4, 3), (4, 3, 3)]
    assert cameras.sizes == ((4, 3), (3, 4))


@pytest.mark.bad_input
def test_a_truncated_jpeg_is_refused_by_name(tmp_path: Path) -> None:
    write_images(tmp_path, sample(), ".jpg")
    file = tmp_path / f"{sample().names[0]}.jpg"
    file.write_bytes(file.read_bytes()[:-200])
    with pytest.raises(BadInput, match=r"view_000.jpg: wanted a whole image, found a damaged one"):
        load_images([photograph(file, (24, 18))])


@pytest.mark.bad_input
def test_an_image_of_another_size_than_its_camera_is_refused(tmp_path: Path) -> None:
    root = write_transforms(tmp_path, sample())
    Image.new("RGB", (12, 9)).save(root / "images" / "view_001.png")
    with pytest.raises(BadInput, match=r"view_001.png: wanted an image of 24x18 .* found 12x9"):
        open_capture(root)


@pytest.mark.bad_input
def test_a_huge_image_is_refused_before_it_is_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decode, "LARGEST_PIXELS", 100)
    Image.new("RGB", (20, 20)).save(tmp_path / "a.png")
    with pytest.raises(BadInput, match="found 20x20; shrink it first"):
        load_images([photograph(tmp_path / "a.png", (20, 20))])


@pytest.mark.bad_input
def test_an_unknown_folder_names_the_formats_that_are_looked_for(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"transforms_train.json.*transforms.json.*poses_bounds.npy.*points3D"):
        open_capture(tmp_path)
    with pytest.raises(BadInput, match="found nothing; check the path"):
        open_capture(tmp_path / "absent")
    with pytest.raises(BadInput, match="1 or more"):
        open_capture("synthetic", downscale=0.5)
