"""Pictures to keep: what a browser sees now as a PNG, and a camera path as an MP4."""

from __future__ import annotations

import io
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from scenekit.assets.video import write_frames
from scenekit.live.look import Look
from scenekit.live.render_loop import STILL_PART, Errand
from scenekit.live.studio import Studio
from scenekit.live.turns import Turns


def screenshot(look: Look, keep: Callable[[bytes], None]) -> Errand:
    """The finished picture of ``look`` as a PNG, for ``keep``."""

    def errand(studio: Studio, turns: Turns) -> Iterator[None]:
        for picture in studio.pictures(look, look.size(), turns.viewing, STILL_PART):
            if picture is None:
                yield None
            else:
                keep(_png(picture.image))

    return errand


def film(
    looks: list[Look],
    size: tuple[int, int],
    rate: float,
    told: Callable[[str], None],
    keep: Callable[[bytes], None],
) -> Errand:
    """An MP4 of the looks, each at ``size``, for ``keep``; ``told`` hears how far it is.

    Frames wait in a folder, for an encoder that must not keep the scenes' thread waiting.
    """

    def errand(studio: Studio, turns: Turns) -> Iterator[None]:
        folder = tempfile.TemporaryDirectory(prefix="scenekit-film-")
        with closing(_Kept(folder)) as kept:
            for index, look in enumerate(looks):
                shaped = replace(look, aspect=size[0] / size[1], height=size[1])
                for picture in studio.pictures(shaped, size, turns.viewing, STILL_PART):
                    yield None
                    if picture is not None:
                        (Path(folder.name) / f"{index:05d}.png").write_bytes(_png(picture.image))
                told(f"frame {index + 1} of {len(looks)}")
            kept.given_away = True
            told("encoding")
            threading.Thread(target=_encode, args=(folder, rate, told, keep), name="scenekit-film", daemon=True).start()

    return errand


class _Kept:
    """A folder that goes when its film is given up, unless the encoder has it."""

    def __init__(self, folder: tempfile.TemporaryDirectory[str]) -> None:
        self.folder = folder
        self.given_away = False

    def close(self) -> None:
        if not self.given_away:
            self.folder.cleanup()


def _encode(
    folder: tempfile.TemporaryDirectory[str], rate: float, told: Callable[[str], None], keep: Callable[[bytes], None]
) -> None:
    with folder as name:
        try:
            target = Path(name) / "film.mp4"
            count = write_frames(target, _frames(sorted(Path(name).glob("*.png"))), rate=rate)
            keep(target.read_bytes())
            told(f"{count} frames, done")
        except Exception as error:  # there is no caller to hear of it: the page is told
            told(f"{type(error).__name__}: {error}")


def _frames(files: list[Path]) -> Iterator[torch.Tensor]:
    for file in files:
        with Image.open(file) as image:
            yield torch.from_numpy(np.array(image))


def _png(image: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "PNG", compress_level=1)
    return stream.getvalue()
