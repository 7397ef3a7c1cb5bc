"""What a user may choose about the search for poses, and how the first try and the later ones differ."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

Lens = Literal["auto", "simple-radial", "radial", "opencv", "opencv-fisheye", "pinhole"]
Sharing = Literal["auto", "shared", "per-image"]
Matching = Literal["auto", "exhaustive", "sequential", "similar"]

REPORT = "process.json"  # beside the capture that came of it
FEW_IMAGES = 60  # all pairs of these are matched
OPENCV_IMAGES = 8  # through one lens: fewer do not pin down eight parameters
ALL_PAIRS_AFTER_ALL = 200
LARGE_SIDE, SIDE = 1600, 1200  # of photographs as features are looked for in few and in many


@dataclass(frozen=True)
class Settings:
    """How to look for poses.

    Attributes:
        lens: model of the lenses; auto is opencv where 8 photographs or more share one, else simple-radial.
        intrinsics: shared by all photographs, one for each, or (auto) by those of one camera, size and zoom.
        matching: which pairs are compared: all, neighbours in time, or those that look alike; auto decides by
            number and kind.
        tries: how many settings to go through while fewer than 90 % of the photographs find their place.
        features: at most, in each photograph.
        seed: of the random samples in geometric checks.
    """

    lens: Lens = "auto"
    intrinsics: Sharing = "auto"
    matching: Matching = "auto"
    tries: int = 4
    features: int = 4096
    seed: int = 0


@dataclass(frozen=True)
class Try:
    """One try.

    Attributes:
        label: for people.
        features: at most, in each photograph.
        peak: contrast that a feature needs.
        side: longest of the photographs as features are looked for.
        pairs: kind of matching.
        guided: whether matches are looked for again along epipolar lines.
        loose: whether photographs may be placed on fewer matches.
        per_image: whether each photograph gets intrinsics of its own, whatever was asked for by ``auto``.
    """

    label: str
    features: int
    peak: float
    side: int
    pairs: Literal["exhaustive", "sequential", "similar"]
    guided: bool = False
    loose: bool = False
    per_image: bool = False


def tries(settings: Settings, count: int, *, in_time: bool) -> list[Try]:
    """The tries for ``count`` photographs, ``in_time`` where they are frames of a video; the first is the cheapest."""
    kind = settings.matching
    if kind == "auto":
        kind = "exhaustive" if count <= FEW_IMAGES else "sequential" if in_time else "similar"
    wider = "exhaustive" if count <= ALL_PAIRS_AFTER_ALL else "similar"
    side = LARGE_SIDE if count <= FEW_IMAGES else SIDE
    first = Try("the usual settings", settings.features, 0.0067, side, kind)
    ladder = [first, replace(first, label="photographs placed on fewer matches", loose=True)]
    if settings.intrinsics == "auto":
        ladder.append(
            replace(
                first, label="intrinsics of each photograph's own, wider pairs", pairs=wider, loose=True, per_image=True
            )
        )
    more = replace(
        first,
        label="twice the features, weaker ones too, all pairs",
        features=2 * settings.features,
        peak=0.003,
        pairs=wider,
        guided=True,
        loose=True,
    )
    return [*ladder, more][: max(1, settings.tries)]
