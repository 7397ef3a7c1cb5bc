"""Which photographs are learned from and which are held out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from scenekit.core.checks import BadInput
from scenekit.data.listing import Split

HELD_OUT_EVERY = 8


def split_indices(source: Path, names: Sequence[str], split: Split | None) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """(train, test) indices: the capture's own split, or every 8th image of the sorted names held out.

    Raises BadInput when fewer than two images are there, or when nothing is left to learn from.
    """
    if len(names) < 2:
        raise BadInput.of(
            source,
            wanted="at least two images from different places",
            found=f"{len(names)}",
            remedy="add photographs of the same scene",
        )
    if split is None:
        test = tuple(range(0, len(names), HELD_OUT_EVERY))
        return tuple(i for i in range(len(names)) if i % HELD_OUT_EVERY), test
    train = tuple(i for i, name in enumerate(names) if name in split.train)
    if not train:
        raise BadInput.of(
            source,
            wanted="images to train on in the capture's own split",
            found=f"none of the {len(names)} images that are there",
            remedy="remove the split from the capture or add its training images",
        )
    return train, tuple(i for i, name in enumerate(names) if name in split.test and name not in split.train)
