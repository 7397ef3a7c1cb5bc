"""What of main memory it takes to triangulate points, before a training that begins with some."""

from __future__ import annotations

from scenekit.data import Capture
from scenekit.data.features import most_features
from scenekit.data.store import StoredImages
from scenekit.data.triangulate import LONGEST_SIDE

MATCHER = 60 * 2**20  # pycolmap, once it is loaded: to triangulate, and to undistort
SOUGHT_IN = 750  # bytes of a pixel of two photographs in which features are looked for at once: see `triangulate`
FEATURE_FLOATS = 2 + 128  # where it is, and its descriptor


def triangulation_bytes(capture: Capture) -> float:
    """The peak, beyond the capture itself: its training photographs once more, as they are matched, and features."""
    sizes = _sizes(capture)
    if not sizes:
        return 0.0
    pixels = [width * height for width, height in sizes]
    channels = 4 if capture.has_alpha else 3
    stored = isinstance(capture.images, StoredImages)
    again = 0.0 if capture.source is None else channels * float(max(pixels) if stored else sum(pixels))
    features = len(sizes) * most_features(len(sizes)) * 4 * FEATURE_FLOATS
    return again + features + SOUGHT_IN * max(pixels)


def _sizes(capture: Capture) -> list[tuple[float, float]]:
    """Of the training photographs as they are matched."""
    if capture.source is None:
        return [capture.cameras.sizes[index] for index in capture.train]
    whole = [capture.source.photographs[index].lens.size for index in capture.train]
    shrink = max(1.0, max((max(size) for size in whole), default=0) / LONGEST_SIDE)
    return [(width / shrink, height / shrink) for width, height in whole]
