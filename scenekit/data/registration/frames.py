"""A video becomes photographs: of every stretch of time the sharpest frame, unless the camera stood still.

Frames are counted as they are decoded, so that the two passes (small and grey to judge, whole to keep) agree.
"""

from __future__ import annotations

import itertools
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from scenekit.core.checks import BadInput

EXTENSIONS = (".mp4", ".mov", ".m4v", ".mkv", ".avi", ".webm", ".mts", ".3gp")
JUDGED_SIDE = 480  # pixels: blur that matters shows here, and grain does not
STILL_SIDE = 24
STILL_DIFFERENCE = 1.0  # of 255, on average: less than compression noise is no motion
KEPT_AT_ONCE = 25
DECODED = ".decoded-"  # begins the name of a folder that is there for as long as frames are decoded into it


def choose_frames(video: Path, most: int, report: Callable[[int, int], None] | None = None) -> list[int]:
    """Numbers of the sharpest frames of ``most`` equal stretches, fewer where the video is short or stands still.

    Sharpness is the variance of the Laplacian. ``report(done, 0)`` is called while the video is read. Raises
    BadInput for what is no video, or one with fewer than two different frames.
    """
    sharpness: list[float] = []
    looks: list[NDArray[np.int16]] = []
    for frame in _grey_frames(video):
        sharpness.append(_sharpness(frame))
        looks.append(_look(frame))
        if report is not None and len(sharpness) % 30 == 0:
            report(len(sharpness), 0)
    edges = np.linspace(0, len(sharpness), min(most, len(sharpness)) + 1).round().astype(int)
    chosen: list[int] = []
    for start, end in itertools.pairwise(edges.tolist()):
        best = start + int(np.argmax(sharpness[start:end]))
        if not chosen or np.abs(looks[best] - looks[chosen[-1]]).mean() > STILL_DIFFERENCE:
            chosen.append(best)
    if len(chosen) < 2:
        found = f"{len(sharpness)} frame{'s that all look the same' if len(sharpness) > 1 else ''}"
        raise BadInput.of(
            video,
            wanted="a video that moves through the scene",
            found=found if sharpness else "no frame",
            remedy="film while walking around the subject",
        )
    return chosen


def keep_frames(
    video: Path, chosen: list[int], folder: Path, work: Path, report: Callable[[int, int], None]
) -> list[str]:
    """Write the frames as JPEG into ``folder``, those that are there already excepted; returns their names.

    They are decoded into a folder of ``work`` that no other call shares: the decoder of a killed process may still
    be writing.
    """
    names = [f"frame-{number:06d}.jpg" for number in chosen]
    missing = [number for number, name in zip(chosen, names, strict=True) if not (folder / name).is_file()]
    report(len(names) - len(missing), len(names))
    folder.mkdir(parents=True, exist_ok=True)
    for stale in {file.name for file in folder.glob("frame-*.jpg")} - set(names):  # of another choice
        (folder / stale).unlink()
    for left in work.glob(f"{DECODED}*"):
        shutil.rmtree(left, ignore_errors=True)
    for start in range(0, len(missing), KEPT_AT_ONCE):
        some = missing[start : start + KEPT_AT_ONCE]
        with tempfile.TemporaryDirectory(dir=work, prefix=DECODED) as partial:
            choice = "+".join(f"eq(n\\,{number})" for number in some)
            _ffmpeg(
                video,
                [
                    "-vf",
                    f"select={choice}",
                    "-frames:v",
                    str(len(some)),
                    "-q:v",
                    "1",
                    "-qmin",
                    "1",
                    f"{partial}/%d.jpg",
                ],
            )
            for index, number in enumerate(some, 1):
                (Path(partial) / f"{index}.jpg").replace(folder / f"frame-{number:06d}.jpg")
        report(len(names) - len(missing) + start + len(some), len(names))
    return names


def _sharpness(frame: NDArray[np.uint8]) -> float:
    x = frame.astype(np.float32)
    laplacian = x[:-2, 1:-1] + x[2:, 1:-1] + x[1:-1, :-2] + x[1:-1, 2:] - 4 * x[1:-1, 1:-1]
    return float(laplacian.var())


def _look(frame: NDArray[np.uint8]) -> NDArray[np.int16]:
    """A tiny picture, means of blocks."""
    height, width = (side // STILL_SIDE * STILL_SIDE for side in frame.shape)
    blocks = frame[:height, :width].reshape(STILL_SIDE, height // STILL_SIDE, STILL_SIDE, width // STILL_SIDE)
    return blocks.mean((1, 3)).astype(np.int16)


def _grey_frames(video: Path) -> Iterator[NDArray[np.uint8]]:
    """Every frame, squeezed to a square of grey pixels; how wide it was does not matter for judging."""
    from imageio_ffmpeg import get_ffmpeg_exe

    size = JUDGED_SIDE**2
    scaled = f"scale={JUDGED_SIDE}:{JUDGED_SIDE}:flags=area"
    command = [get_ffmpeg_exe(), "-v", "error", "-i", str(video), *_passing(), "-vf", scaled, "-f", "rawvideo"]
    # Messages go to a file: a pipe that nobody reads would stop the decoder once it is full.
    with tempfile.TemporaryFile() as messages:
        with subprocess.Popen(
            [*command, "-pix_fmt", "gray", "-"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=messages
        ) as decoder:
            assert decoder.stdout is not None
            count = 0
            try:
                while len(data := decoder.stdout.read(size)) == size:
                    count += 1
                    yield np.frombuffer(data, np.uint8).reshape(JUDGED_SIDE, JUDGED_SIDE)
            finally:
                decoder.stdout.close()
        if decoder.returncode != 0 and count == 0:
            messages.seek(0)
            raise _no_video(video, messages.read())


def _ffmpeg(video: Path, rest: list[str]) -> None:
    from imageio_ffmpeg import get_ffmpeg_exe

    command = [get_ffmpeg_exe(), "-v", "error", "-y", "-i", str(video), *_passing(), *rest]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    if done.returncode != 0:
        raise _no_video(video, done.stderr)


def _passing() -> list[str]:
    """Frames as they are stored, none doubled or dropped for a steady rate."""
    return ["-an", "-fps_mode", "passthrough"]


def _no_video(video: Path, messages: bytes) -> BadInput:
    last = messages.decode(errors="replace").strip().splitlines()[-1:]
    return BadInput.of(
        video,
        wanted="a video",
        found=f"none that can be decoded ({' '.join(last)})",
        remedy="convert it to MP4 first",
    )
