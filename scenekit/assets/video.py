"""Pictures in a row: an MP4, or a folder of PNG; whole or not there at all."""

from __future__ import annotations

import contextlib
import itertools
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO

from jaxtyping import UInt8
from PIL import Image
from torch import Tensor

from scenekit.assets.atomic import replacing
from scenekit.core.checks import BadInput

Frame = UInt8[Tensor, "H W 3"]


def write_frames(target: Path, frames: Iterable[Frame], *, rate: float = 30.0) -> int:
    """Write ``frames`` (all of one size) as they come and return how many there were.

    Args:
        target: ``*.mp4`` (H.264; an odd last row or column is cut off), or a folder for ``0000.png`` and on.
        frames: sRGB, uint8.
        rate: of the MP4, in frames per second.

    Raises BadInput for another file extension, a folder with files in it, no frames, a place that cannot be
    written, or a full disk; what stood at ``target`` is then untouched.
    """
    check_target(target)
    check_target(target)
    with replacing(target) as temporary:
        arriving = iter(frames)
        first = next(arriving, None)
        if first is None:
            raise BadInput.of(target, wanted="at least one frame", found="none", remedy="ask for a longer path")
        everything = itertools.chain([first], arriving)
        if target.suffix.lower() == ".mp4":
            return _write_mp4(temporary, everything, first.shape[1] & ~1, first.shape[0] & ~1, rate)
        return _write_folder(temporary, everything)


def check_target(target: Path) -> None:
    """Raise BadInput, before anything is rendered, for a place where :func:`write_frames` fails."""
    if target.suffix.lower() not in ("", ".mp4") and not target.is_dir():
        raise BadInput.of(
            target,
            wanted="a name ending in .mp4, or a folder",
            found=target.suffix,
            remedy="choose another name",
        )
    if target.is_dir() and (target.suffix.lower() == ".mp4" or any(target.iterdir())):
        found = "a folder" if target.suffix.lower() == ".mp4" else "one with files in it"
        raise BadInput.of(target, wanted="a new file or folder", found=found, remedy="choose another name")


def _write_folder(folder: Path, frames: Iterator[Frame]) -> int:
    folder.mkdir()
    count = 0
    for count, frame in enumerate(frames, 1):
        Image.fromarray(frame.cpu().numpy()).save(folder / f"{count - 1:04d}.png")
    return count


def _write_mp4(file: Path, frames: Iterator[Frame], width: int, height: int, rate: float) -> int:
    if width == 0 or height == 0:
        raise BadInput.of(file, wanted="frames of at least 2x2 pixels", found="smaller", remedy="render larger")
    from imageio_ffmpeg import get_ffmpeg_exe

    source = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", str(rate), "-i", "-"]
    colors = [
        "-vf",
        "scale=out_color_matrix=bt709:out_range=tv",
        "-colorspace",
        "bt709",
        "-color_range",
        "tv",
    ]
    coding = [
        "-c:v",
        "libx264",
        "-preset",
        "medium",
        "-crf",
        "18",
        "-pix_fmt",
        "yuv420p",
        "-movflags",
        "+faststart",
    ]
    command = [get_ffmpeg_exe(), "-v", "error", "-y", *source, *colors, *coding, "-f", "mp4", str(file)]
    # Messages go to a file: a pipe that nobody reads would stop the encoder once it is full.
    with tempfile.TemporaryFile() as messages:
        with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=messages) as encoder:
            assert encoder.stdin is not None
            count = _feed(encoder.stdin, frames, width, height)
        if encoder.returncode != 0:
            messages.seek(0)
            last = messages.read().decode(errors="replace").strip().splitlines()[-1:]
            raise OSError(f"the encoder stopped: {' '.join(last) or encoder.returncode}")
    return count


def _feed(pipe: IO[bytes], frames: Iterator[Frame], width: int, height: int) -> int:
    count = 0
    for count, frame in enumerate(frames, 1):
        if frame.shape[0] < height or frame.shape[1] < width:
            raise ValueError(f"frame {count - 1}: wanted {height}x{width} like the first, found {list(frame.shape)}")
        try:
            pipe.write(frame[:height, :width].contiguous().cpu().numpy().tobytes())
        except BrokenPipeError:  # the encoder has ended; its exit status and its last words say why
            break
    with contextlib.suppress(BrokenPipeError):
        pipe.close()
    return count
