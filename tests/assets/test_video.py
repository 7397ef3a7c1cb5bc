import subprocess

import pytest
import torch
from imageio_ffmpeg import get_ffmpeg_exe
from PIL import Image

from scenekit.assets.video import write_frames
from scenekit.core.checks import BadInput


def frames(count=5, height=33, width=47):
    for index in range(count):
        frame = torch.full((height, width, 3), 40 * index, dtype=torch.uint8)
        frame[:, : width // 2, 0] = 200
        yield frame


def decoded(file, width, height):
    command = [get_ffmpeg_exe(), "-v", "error", "-i", str(file), "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    raw = subprocess.run(command, check=True, capture_output=True).stdout
    return torch.frombuffer(bytearray(raw), dtype=torch.uint8).reshape(-1, height, width, 3)


def test_an_mp4_holds_every_frame_with_its_colours_and_even_sides(tmp_path):
    target = tmp_path / "new" / "clip.mp4"
    assert write_frames(target, frames(), rate=10.0) == 5
    video = decoded(target, 46, 32)
    assert len(video) == 5
    assert abs(int(video[2, 16, 10, 0]) - 200) < 12
    assert abs(int(video[2, 16, 40, 1]) - 80) < 12
    assert [path.name for path in target.parent.iterdir()] == ["clip.mp4"]


def test_a_folder_holds_the_exact_frames(tmp_path):
    assert write_frames(tmp_path / "clip", frames(2)) == 2
    assert sorted(path.name for path in (tmp_path / "clip").iterdir()) == ["0000.png", "0001.png"]
    with Image.open(tmp_path / "clip" / "0001.png") as image:
        assert image.size == (47, 33)
        assert image.getpixel((40, 5)) == (40, 40, 40)


@pytest.mark.parametrize("name", ["clip.mp4", "clip"])
def test_frames_that_fail_leave_what_stood_there_and_nothing_else(tmp_path, name):
    def failing():
        yield from frames(2)
        raise RuntimeError("the scene broke")

    if name.endswith("mp4"):
        (tmp_path / name).write_text("old")
    with pytest.raises(RuntimeError, match="the scene broke"):
        write_frames(tmp_path / name, failing())
    assert [path.read_text() for path in tmp_path.iterdir()] == (["old"] if name.endswith("mp4") else [])


@pytest.mark.bad_input
def test_an_encoder_that_cannot_write_is_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr("imageio_ffmpeg.get_ffmpeg_exe", lambda: "false")
    with pytest.raises(BadInput, match=r"clip\.mp4.*the encoder stopped"):
        write_frames(tmp_path / "clip.mp4", frames(50, 200, 200))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.bad_input
def test_a_wrong_place_is_refused_before_a_frame_is_taken(tmp_path):
    def untouched():
        raise AssertionError("a frame was rendered")
        yield

    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "mine.jpg").touch()
    (tmp_path / "folder.mp4").mkdir()
    for name in ("clip.avi", "photos", "folder.mp4"):
        with pytest.raises(BadInput, match=name):
            write_frames(tmp_path / name, untouched())


@pytest.mark.bad_input
def test_no_frames_are_refused(tmp_path):
    with pytest.raises(BadInput, match="at least one frame"):
        write_frames(tmp_path / "clip.mp4", iter(()))
    assert list(tmp_path.iterdir()) == []
