"""Photographs that are decoded when needed: the same bits, within a number of bytes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image

from scenekit.core.checks import BadInput
from scenekit.data import open_capture
from scenekit.data.readers import read_listing
from scenekit.data.store import StoredImages, bytes_of, channels_of
from tests.data.captures import SIZE, sample, write_transforms

EACH = SIZE[0] * SIZE[1] * 4  # the sample has alpha


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_transforms(tmp_path / "capture", sample())


def stored(root: Path, cache_bytes: int) -> StoredImages:
    return StoredImages(read_listing(root).photographs, 1.0, cache_bytes)


def test_they_are_the_same_bits_as_in_memory(root: Path) -> None:
    whole, streamed = open_capture(root), open_capture(root, cache_bytes=3 * EACH)
    assert isinstance(whole.images, tuple)
    assert isinstance(streamed.images, StoredImages)
    assert all(torch.equal(a, b) for a, b in zip(whole.images, streamed.images, strict=True))
    torch.testing.assert_close(whole.cameras.intrinsics, streamed.cameras.intrinsics, rtol=0, atol=0)
    assert whole.describe() == streamed.describe()


def test_a_capture_that_fits_the_cache_is_kept_whole(root: Path) -> None:
    assert isinstance(open_capture(root, cache_bytes=10 * EACH).images, tuple)


def test_no_more_than_the_cache_is_ever_held(root: Path) -> None:
    images = stored(root, 3 * EACH)
    for index in (0, 5, 3, 9, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, -1):
        images.soon([(index + 1) % 10, (index + 2) % 10, (index + 3) % 10])
        assert torch.equal(images[index], sample().images[index])
        assert images.bytes_held <= 3 * EACH


def test_what_was_used_last_is_kept(root: Path) -> None:
    images = stored(root, 2 * EACH)
    first = images[0]
    _ = images[1]
    assert images[0] is first
    _ = images[2]
    assert images[0] is first


def test_sizes_and_channels_are_known_without_decoding(root: Path) -> None:
    Image.new("RGB", SIZE).save(root / "images" / "view_003.png")
    images = stored(root, EACH)
    assert images.channels == (4, 4, 4, 3, 4, 4, 4, 4, 4, 4)
    assert sum(images.bytes_of(index) for index in range(len(images))) == 9 * EACH + EACH * 3 // 4
    assert images.bytes_held == 0
    assert channels_of(images) == images.channels
    assert bytes_of(images) == 9 * EACH + EACH * 3 // 4


def test_a_subset_has_a_cache_of_its_own(root: Path) -> None:
    images = stored(root, 3 * EACH)
    _ = images[4]
    some = images.subset([4, 7], EACH)
    assert (len(some), some.cache_bytes, images.bytes_held) == (2, EACH, 0)
    assert torch.equal(some[1], sample().images[7])


@pytest.mark.bad_input
def test_a_damaged_photograph_is_refused_by_name_when_it_is_reached(root: Path) -> None:
    file = root / "images" / "view_002.png"
    file.write_bytes(file.read_bytes()[:200])
    images = stored(root, 3 * EACH)
    assert torch.equal(images[1], sample().images[1])
    with pytest.raises(BadInput, match=r"view_002.png"):
        _ = images[2]
