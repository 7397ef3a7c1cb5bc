"""As small a file as a loss allows: each part gets the coarsest steps that pictures can bear.

A part is first judged alone: by how much coarser steps shrink the file, and what they change in pictures. From the
finest steps on, the part that saves most bytes for its error is then coarsened again and again; how far along that way
a file may go is found by rendering whole files.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch

from scenekit.assets.splats.codec import FINEST, Coarser, Codec
from scenekit.assets.verify import Judge
from scenekit.core.checks import BadInput
from scenekit.core.reports import Report, quiet
from scenekit.representations.gaussian_cloud import GaussianCloud

MOST_BITS = 8  # by which a part is made coarser
# The error of a part is counted as at least this: what is free to the eye is still ordered by what it saves.
LEAST_ERROR = 1e-12


def _colors(wanted: GaussianCloud, found: GaussianCloud) -> GaussianCloud:
    return replace(wanted, harmonics=torch.cat([found.harmonics[:, :1], wanted.harmonics[:, 1:]], 1))


def _harmonics(wanted: GaussianCloud, found: GaussianCloud) -> GaussianCloud:
    return replace(wanted, harmonics=torch.cat([wanted.harmonics[:, :1], found.harmonics[:, 1:]], 1))


# Gaussians with one part as a file has it.
PARTS: Mapping[str, Callable[[GaussianCloud, GaussianCloud], GaussianCloud]] = {
    "positions": lambda wanted, found: replace(wanted, means=found.means),
    "scales": lambda wanted, found: replace(wanted, log_scales=found.log_scales),
    "rotations": lambda wanted, found: replace(wanted, quaternions=found.quaternions),
    "colors": _colors,
    "opacities": lambda wanted, found: replace(wanted, opacity_logits=found.opacity_logits),
    "harmonics": _harmonics,
}


@dataclass(frozen=True)
class _Point:
    """What a file weighs, and the mean squared error of its pictures, with one part coarser by some bits."""

    bits: int
    size: int
    error: float


def coarsest(codec: Codec, cloud: GaussianCloud, judge: Judge, allowed: float, report: Report = quiet) -> Coarser:
    """The steps that make the smallest file found to lose at most ``allowed`` dB.

    Args:
        codec: one whose steps can be coarser.
        cloud: as it would be encoded: in the order of the file, of no higher degree than the format keeps.
        judge: of pictures of ``cloud``.
        allowed: dB, more than 0.
        report: told how far the search is.

    Raises BadInput where even the finest steps lose more.
    """
    way = _way(_curves(codec, cloud, judge, allowed, report))
    reached = judge.compared(_through(codec, cloud, FINEST)[1]).lost
    if reached > allowed:
        raise BadInput.of("--allow-loss", wanted=f"no more than {allowed:g} dB lost",
                          found=f"{reached:.3g} dB lost by a {codec.name} file at its best",
                          remedy="allow more, or choose another format")  # fmt: skip
    low, high = 0, len(way) - 1
    whole = math.ceil(math.log2(len(way)))  # files
    while low < high:  # what stands at low is known to be allowed
        report("files", whole - math.ceil(math.log2(high - low + 1)), whole)
        middle = (low + high + 1) // 2
        if judge.compared(_through(codec, cloud, way[middle])[1]).lost <= allowed:
            low = middle
        else:
            high = middle - 1
    return way[low]


def _curves(
    codec: Codec, cloud: GaussianCloud, judge: Judge, allowed: float, report: Report
) -> dict[str, list[_Point]]:
    """For every part its files, ever coarser, as long as it loses no more than ``allowed`` by itself."""
    # Without the harmonics, unless they are what is judged: a palette of them takes longest by far.
    plain = cloud.of_degree(0)
    curves: dict[str, list[_Point]] = {}
    for index, (part, mixed) in enumerate(PARTS.items()):
        written = cloud if part == "harmonics" else plain
        if part == "harmonics" and cloud.degree == 0:
            continue
        curves[part] = []
        for bits in range(MOST_BITS + 1):
            report(f"steps of {part}", index * (MOST_BITS + 1) + bits, len(PARTS) * (MOST_BITS + 1))
            size, found = _through(codec, written, replace(FINEST, **{part: bits}))
            compared = judge.compared(mixed(cloud, found))
            if bits and compared.lost > allowed:
                break
            curves[part].append(_Point(bits, size, compared.error))
    return curves


def _way(curves: Mapping[str, Sequence[_Point]]) -> list[Coarser]:
    """From the finest steps to the coarsest of every curve, the cheapest bytes first."""
    way, at = [FINEST], dict.fromkeys(curves, 0)
    while True:
        steps = [
            ((points[at[part]].size - later.size) / max(LEAST_ERROR, later.error - points[at[part]].error), part, index)
            for part, points in curves.items()
            for index, later in enumerate(points)
            if index > at[part] and later.size < points[at[part]].size
        ]
        if not steps:
            return way
        _, part, index = max(steps)
        at[part] = index
        way.append(replace(way[-1], **{part: curves[part][index].bits}))


def _through(codec: Codec, cloud: GaussianCloud, coarser: Coarser) -> tuple[int, GaussianCloud]:
    """About the bytes of a file, packed quickly where that can be, and what it holds."""
    encode = codec.draft or codec.encode_coarser
    assert encode is not None
    stream = io.BytesIO()
    encode(cloud, stream, coarser)
    return stream.tell(), codec.decode(stream)
