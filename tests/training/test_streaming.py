"""Pixels of more photographs than memory: right colours, every photograph in turn, resumed bit for bit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from scenekit.core.checks import BadInput
from scenekit.core.protocols import Context
from scenekit.data import open_capture
from scenekit.data.store import StoredImages
from scenekit.training.batches import ImageBatches, PixelBatches, Views
from scenekit.training.streaming import StreamedPixels, pixel_batches
from tests.data.captures import SIZE, sample, write_transforms

EACH = SIZE[0] * SIZE[1] * 4


@pytest.fixture
def views(tmp_path: Path) -> Views:
    capture = open_capture(write_transforms(tmp_path / "capture", sample()), cache_bytes=4 * EACH)
    return Views(capture.cameras.to(dtype=torch.float32), capture.images)


def context(seed: int = 0) -> Context:
    return Context(True, torch.Generator().manual_seed(seed))


def test_batches_are_streamed_only_where_photographs_are_not_in_memory(views: Views) -> None:
    assert isinstance(pixel_batches(views, 1024), StreamedPixels)
    assert isinstance(pixel_batches(replace(views, images=sample().images), 1024), PixelBatches)


def test_every_pixel_has_the_colour_of_its_photograph_and_all_photographs_come(views: Views) -> None:
    batches, now = StreamedPixels(views, 2**15), context()
    seen: set[int] = set()
    for _ in range(80):
        batch = batches.next(now)
        assert batch.pixels is not None
        u, v = batch.pixels.positions.long().unbind(-1)
        for camera in batch.pixels.cameras.unique().tolist():
            rows = batch.pixels.cameras == camera
            wanted = sample().images[camera][v[rows], u[rows]].float() / 255
            assert torch.equal(batch.target[rows], wanted)
            seen.add(camera)
    assert seen == set(range(len(sample())))


def test_the_resident_photographs_stay_within_the_cache(views: Views) -> None:
    batches = StreamedPixels(views, 1024)
    assert isinstance(views.images, StoredImages)
    batches.next(context())
    assert batches._colors.numel() + batches._images.cache_bytes <= 4 * EACH
    assert len(set(batches._members)) == 3


def test_going_on_from_a_state_draws_the_same_pixels(views: Views) -> None:
    first, now = StreamedPixels(views, 1024), context()
    for _ in range(5):
        first.next(now)
    state, generator = first.state_dict(), now.generator
    assert generator is not None
    at = generator.get_state()
    wanted = [first.next(now).target for _ in range(6)]
    again = StreamedPixels(views, 1024)
    again.next(context(7))
    again.load_state_dict(state)
    generator.set_state(at)
    assert all(torch.equal(again.next(now).target, target) for target in wanted)


def test_masked_pixels_are_never_drawn(views: Views) -> None:
    masks = tuple(torch.zeros(SIZE[1], SIZE[0], dtype=torch.bool) for _ in sample().images)
    for mask in masks:
        mask[:, : SIZE[0] // 2] = True
    batches, now = StreamedPixels(replace(views, masks=masks), 2**14), context()
    for _ in range(6):
        batch = batches.next(now)
        assert batch.pixels is not None
        assert len(batch.target) > 200
        assert float(batch.pixels.positions[:, 0].max()) < SIZE[0] // 2


def test_whole_photographs_stream_in_the_order_they_have_in_memory(views: Views) -> None:
    streamed, whole = ImageBatches(views), ImageBatches(replace(views, images=sample().images))
    one, other = context(), context()
    assert all(torch.equal(streamed.next(one).target, whole.next(other).target) for _ in range(12))
    assert isinstance(views.images, StoredImages)
    assert views.images.bytes_held <= 4 * EACH


@pytest.mark.bad_input
def test_what_cannot_be_streamed_is_refused(views: Views) -> None:
    assert isinstance(views.images, StoredImages)
    with pytest.raises(BadInput, match="room for at least two photographs"):
        StreamedPixels(replace(views, images=views.images.subset(range(10), EACH)), 1024)
    depths = tuple(torch.ones(SIZE[1], SIZE[0]) for _ in sample().images)
    with pytest.raises(BadInput, match="raise --cache"):
        StreamedPixels(replace(views, depths=depths), 1024)
    black = tuple(torch.zeros(SIZE[1], SIZE[0], dtype=torch.bool) for _ in sample().images)
    with pytest.raises(BadInput, match="white is kept, black is ignored"):
        StreamedPixels(replace(views, masks=black), 1024).next(context())
    batches = StreamedPixels(views, 1024)
    with pytest.raises(BadInput, match="another; leave it as it was"):
        batches.load_state_dict({**batches.state_dict(), "members": [1, 2]})
