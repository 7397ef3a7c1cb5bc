"""Videos: the sharpest frames are taken, a camera at rest gives one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from scenekit.core.checks import BadInput
from scenekit.data.registration.frames import choose_frames, keep_frames
from tests.data.textured import pictures, write_video


def moving(blurred: set[int]) -> list[Image.Image]:
    """Twelve crops that wander over one picture."""
    whole = pictures()[0]
    crops = [whole.crop((4 * k, 2 * k, 160 + 4 * k, 120 + 2 * k)) for k in range(12)]
    return [crop.filter(ImageFilter.GaussianBlur(2)) if k in blurred else crop for k, crop in enumerate(crops)]


def test_the_sharpest_frame_of_each_stretch_is_chosen(tmp_path: Path) -> None:
    video = write_video(tmp_path / "a.mp4", moving(set(range(12)) - {1, 3, 8, 10}))
    assert choose_frames(video, 4) == [1, 3, 8, 10]


def test_chosen_frames_are_kept_whole_and_are_the_right_ones(tmp_path: Path) -> None:
    frames = moving(set())
    video = write_video(tmp_path / "a.mp4", frames)
    seen: list[tuple[int, int]] = []
    names = keep_frames(video, [2, 9], tmp_path / "images", tmp_path, lambda done, total: seen.append((done, total)))
    assert names == ["frame-000002.jpg", "frame-000009.jpg"]
    assert seen[-1] == (2, 2)
    for name, number in zip(names, (2, 9), strict=True):
        found = np.asarray(Image.open(tmp_path / "images" / name)).astype(float)
        errors = [np.abs(found - np.asarray(frame)).mean() for frame in frames]
        assert int(np.argmin(errors)) == number


def test_kept_frames_are_not_taken_again_and_those_of_another_choice_go(tmp_path: Path) -> None:
    video = write_video(tmp_path / "a.mp4", moving(set()))
    folder = tmp_path / "images"
    keep_frames(video, [2, 5], folder, tmp_path, lambda *_: None)
    before = (folder / "frame-000002.jpg").stat().st_mtime_ns
    (tmp_path / ".decoded-by-a-killed-process").mkdir()
    keep_frames(video, [2, 9], folder, tmp_path, lambda *_: None)
    assert (folder / "frame-000002.jpg").stat().st_mtime_ns == before
    assert sorted(file.name for file in folder.iterdir()) == ["frame-000002.jpg", "frame-000009.jpg"]
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.mp4", "images"]


@pytest.mark.bad_input
def test_a_video_of_one_frame_is_refused(tmp_path: Path) -> None:
    video = write_video(tmp_path / "a.mp4", moving(set())[:1])
    with pytest.raises(BadInput, match=r"a.mp4: wanted a video that moves through the scene, found 1 frame;"):
        choose_frames(video, 10)


@pytest.mark.bad_input
def test_a_video_at_rest_is_refused(tmp_path: Path) -> None:
    video = write_video(tmp_path / "a.mp4", moving(set())[:1] * 5)
    with pytest.raises(BadInput, match="found 5 frames that all look the same"):
        choose_frames(video, 10)


@pytest.mark.bad_input
def test_what_is_no_video_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"nothing to see" * 50)
    with pytest.raises(BadInput, match=r"a.mp4: wanted a video, found none that can be decoded"):
        choose_frames(tmp_path / "a.mp4", 10)
