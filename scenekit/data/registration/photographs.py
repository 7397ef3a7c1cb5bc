"""A folder of photographs becomes the ``images`` of a capture: upright, 8 bits, formats that everything reads."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from scenekit.core.checks import BadInput
from scenekit.data import decode
from scenekit.data.exif import Exif, read_exif
from scenekit.data.registration.appearing import appearing

KEPT_AS_THEY_ARE = (".jpg", ".jpeg", ".png")
PLAIN_MODES = ("RGB", "RGBA", "L")
JPEG_QUALITY = 95
SMALLEST_SIDE = 32


@dataclass(frozen=True)
class Prepared:
    """One photograph in the capture's ``images``.

    Attributes:
        name: relative to that folder.
        size: width and height as it lies there.
        exif: of the original.
    """

    name: str
    size: tuple[int, int]
    exif: Exif


def prepare(
    files: list[Path], folder: Path, report: Callable[[int, int], None]
) -> tuple[list[Prepared], dict[str, str]]:
    """Put the files into ``folder`` where they are not yet; returns them, and the reason for each that is left out.

    JPEG and PNG that lie upright are copied bit for bit, others are written anew (JPEG for lossy sources,
    PNG for the rest).
    """
    root = Path(os.path.commonpath([file.parent for file in files]))
    prepared: list[Prepared] = []
    unreadable: dict[str, str] = {}
    taken: set[str] = set()
    for number, file in enumerate(files):
        report(number, len(files))
        name = file.relative_to(root)
        try:
            prepared.append(_prepared(file, folder, _free_name(name, taken)))
        except BadInput as error:
            if "pip install" in str(error):  # a missing package is the machine's fault, not the photograph's
                raise
            unreadable[name.as_posix()] = str(error).removeprefix(f"{file}: ")
    report(len(files), len(files))
    return prepared, unreadable


def _free_name(name: Path, taken: set[str]) -> Path:
    """The name it gets, less its extension, unless another file has that: then with it."""
    stem = name.with_suffix("").as_posix()
    stem = stem if stem not in taken else name.as_posix().replace(".", "-")
    taken.add(stem)
    return Path(stem)


def _prepared(file: Path, folder: Path, stem: Path) -> Prepared:
    with decode.opened(file) as image:
        exif = read_exif(image)
        as_it_is = file.suffix.lower() in KEPT_AS_THEY_ARE and exif.orientation == 1 and image.mode in PLAIN_MODES
        extension = file.suffix if as_it_is else _extension(file)
        target = folder / f"{stem}{extension}"
        size = image.size if exif.orientation < 5 else image.size[::-1]
        if min(size) < SMALLEST_SIDE:
            raise BadInput.of(
                file,
                wanted=f"at least {SMALLEST_SIDE} pixels a side",
                found="{}x{}".format(*size),
                remedy="use the original photograph",
            )
        if not target.is_file():
            pixels = decode.pixels_of(file, image)  # also where it is copied: a damaged file must not come through
            _write(file if as_it_is else _upright(pixels, exif.orientation), target)
    return Prepared(target.relative_to(folder).as_posix(), (size[0], size[1]), exif)


def _extension(file: Path) -> str:
    return ".jpg" if file.suffix.lower() in (".jpg", ".jpeg", *decode.HEIC) else ".png"


TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def _upright(image: Image.Image, orientation: int) -> Image.Image:
    turn = TURNS.get(orientation)
    return image if turn is None else image.transpose(turn)


def _write(source: Path | Image.Image, target: Path) -> None:
    """Whole or not at all, so that what is there can be relied on after a kill."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        with appearing(target) as partial:
            if isinstance(source, Path):
                shutil.copyfile(source, partial)
            elif target.suffix == ".jpg":
                source.convert("RGB").save(partial, format="JPEG", quality=JPEG_QUALITY, subsampling=0)
            else:
                source.save(partial, format="PNG")
    except OSError as error:
        raise BadInput.of(
            target,
            wanted="to write it",
            found=error.strerror or str(error),
            remedy="free some space or choose another place with -o; what is there so far is kept",
        ) from error
