"""Masks beside photographs: where they are black, nothing is looked for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from scenekit.core.checks import BadInput
from scenekit.data import decode
from scenekit.data.registration.appearing import appearing
from scenekit.data.registration.photographs import Prepared


def prepare_masks(source: Path, photographs: Sequence[Prepared], folder: Path) -> Path:
    """Write them as ``folder/NAME.png``, grey, and return ``folder``.

    A mask is named like its photograph, with any image extension after or instead of the photograph's own.
    Photographs without one are used whole. Raises BadInput where no mask belongs to any, or one has another
    size than its photograph, or ``source`` is no folder.
    """
    if not source.is_dir():
        raise BadInput.of(source, wanted="a folder of masks", found="none there", remedy="check --masks")
    files = {file.relative_to(source).as_posix(): file for file in source.rglob("*") if file.is_file()}
    found = 0
    for photograph in photographs:
        stem = photograph.name.rpartition(".")[0]
        names = [f"{base}{extension}" for base in (photograph.name, stem) for extension in decode.EXTENSIONS]
        mask = next((files[name] for name in names if name in files), None)
        if mask is None:
            continue
        found += 1
        _prepare(mask, photograph, folder / f"{photograph.name}.png")
    if not found:
        raise BadInput.of(
            source,
            wanted=f"masks named like the photographs ({photographs[0].name}.png)",
            found="none that is",
            remedy="rename them or leave --masks out",
        )
    return folder


def _prepare(file: Path, photograph: Prepared, target: Path) -> None:
    with decode.opened(file) as opened:
        image = decode.pixels_of(file, opened)
    if image.size != photograph.size:
        raise BadInput.of(
            file,
            wanted="a mask of {}x{} like its photograph".format(*photograph.size),
            found="{}x{}".format(*image.size),
            remedy="make masks of the photographs as they are seen upright, at full size",
        )
    seen = image.getchannel("A") if image.mode == "RGBA" else image.convert("L")
    target.parent.mkdir(parents=True, exist_ok=True)
    with appearing(target) as partial:
        Image.fromarray(np.where(np.asarray(seen) > 127, 255, 0).astype(np.uint8)).save(partial, format="PNG")
