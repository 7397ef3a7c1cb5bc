"""What goes wrong at a door: one sentence for bad input, shape checks by name for operators."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from torch import Tensor


class BadInput(ValueError):  # noqa: N818 - it is not our error: the name says whose
    """Something from outside is wrong; the message is one sentence and the command line exits with 2."""

    @classmethod
    def of(cls, what: str | Path, *, wanted: str, found: str, remedy: str) -> BadInput:
        """Build the house's sentence: the file, what was wanted, what was found, what to do.

        Files may name themselves and what is in them as they like: what cannot be printed becomes a space.
        """
        sentence = f"{what}: wanted {wanted}, found {found}; {remedy}"
        return cls("".join(letter if letter.isprintable() else " " for letter in sentence))


class TrainingDiverged(BadInput):
    """A loss term or a parameter stopped being finite."""


def check_shape(name: str, tensor: Tensor, shape: Sequence[int | str], sizes: dict[str, int]) -> None:
    """Match ``tensor`` against ``shape``; letters bind in ``sizes`` at first sight and must agree afterwards.

    Raises ValueError that names the tensor, the shape wanted and the shape found.
    """
    found = tensor.shape
    if len(found) == len(shape):
        for size, length in zip(shape, found, strict=True):
            if length != (sizes.setdefault(size, length) if isinstance(size, str) else size):
                known = f" with {size} = {sizes[size]}" if isinstance(size, str) else ""
                break
        else:
            return
    else:
        known = ""
    wanted = " ".join(str(size) for size in shape)
    raise ValueError(f"{name}: wanted shape [{wanted}]{known}, found {list(found)}")


def check_same_kind(reference_name: str, reference: Tensor, **others: Tensor) -> None:
    """Every tensor must share the reference's floating dtype and device; raises TypeError by name."""
    if not reference.is_floating_point():
        raise TypeError(f"{reference_name}: wanted a floating dtype, found {reference.dtype}")
    for name, tensor in others.items():
        if tensor.dtype != reference.dtype or tensor.device != reference.device:
            raise TypeError(
                f"{name}: wanted {reference.dtype} on {reference.device} like {reference_name}, "
                f"found {tensor.dtype} on {tensor.device}"
            )
