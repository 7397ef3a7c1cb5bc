"""What a splat format is: one value with a way to read and, where we write it, a way to write."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from io import BufferedIOBase
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from scenekit.representations.gaussian_cloud import GaussianCloud

HEAD = 1 << 16  # bytes that a sniffer sees
# Packed data may unpack to this much, or to this many times the file's own size, whichever is more.
UNPACKED_FLOOR = 1 << 26
UNPACKED_RATIO = 100


class Damaged(ValueError):  # noqa: N818 - said of a file
    """A file is not what it should be; a few words say why, and whoever knows its name makes the sentence."""


@dataclass(frozen=True)
class Coarser:
    """By how many bits the steps of each part of a file are coarser than the finest that its format has."""

    positions: int = 0
    scales: int = 0
    rotations: int = 0
    colors: int = 0
    opacities: int = 0
    harmonics: int = 0


FINEST = Coarser()


@dataclass(frozen=True)
class Unpacked:
    """A format's parts as files of their own, as pages fetch them.

    Attributes:
        name: of the file that names the others.
        gathered: what ``decode`` reads, from that file; raises :class:`Damaged` where one of the others is missing.
    """

    name: str
    gathered: Callable[[Path], BufferedIOBase]


@dataclass(frozen=True)
class Codec:
    """A splat format.

    ``decode`` and ``encode`` work on a seekable binary stream and turn the format's axes into those of
    :class:`GaussianCloud` and back. ``decode`` raises :class:`Damaged` for anything it cannot read, and allocates
    no more than a fixed multiple of the file's size (of :func:`unpacked_limit` where the format packs).

    Attributes:
        name: in words, for messages.
        extensions: with their dots, lower case; of two that fit, the longer one counts.
        sniff: whether a file beginning with these bytes is one; where a format has no mark, never.
        decode: a stream to Gaussians.
        encode: Gaussians (at least one, of no higher degree than the format keeps) to a stream, in their order; None
            where we do not write the format.
        encode_coarser: the same with steps of one's own; None where the format has but one size.
        draft: ``encode_coarser`` in a hurry: the file holds the same, but is somewhat larger; None where packing
            takes little of the time.
        exact: whether every float32 value comes back as it was, bit for bit.
        degree: highest degree of spherical harmonics that the format keeps.
        half_turn: about which axis the format's axes are turned against ours; None where they are the same.
        keeps_antialiased: whether it can say that opacities make up for the screen-space blur.
        order: which Gaussian should stand in which place, so that ``encode`` makes a small file of them, found on a
            device and told on a CPU; None where their order makes no difference.
        unpacked: how the format stands in a folder; None where it never does.
    """

    name: str
    extensions: tuple[str, ...]
    sniff: Callable[[bytes], bool]
    decode: Callable[[BufferedIOBase], GaussianCloud]
    encode: Callable[[GaussianCloud, BufferedIOBase], None] | None
    encode_coarser: Callable[[GaussianCloud, BufferedIOBase, Coarser], None] | None = None
    draft: Callable[[GaussianCloud, BufferedIOBase, Coarser], None] | None = None
    exact: bool = False
    degree: int = 3
    half_turn: Literal["x", "z"] | None = None
    keeps_antialiased: bool = False
    order: Callable[[GaussianCloud, torch.device], Tensor] | None = None
    unpacked: Unpacked | None = None


def size_of(stream: BufferedIOBase) -> int:
    """Bytes in a stream; leaves it at its beginning."""
    size = stream.seek(0, os.SEEK_END)
    stream.seek(0)
    return size


def unpacked_limit(packed: int) -> int:
    """To how many bytes ``packed`` bytes of a file may unpack."""
    return max(UNPACKED_FLOOR, UNPACKED_RATIO * packed)
