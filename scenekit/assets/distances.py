"""Files of signed distances: a surface that was sampled once is fitted elsewhere, without its mesh."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from scenekit.assets.atomic import replacing
from scenekit.core.checks import BadInput
from scenekit.data.signals.distances import SUFFIX, SampledSurface


def write_distances(path: Path, surface: SampledSurface) -> None:
    """Write what ``scenekit fit`` reads as a surface; raises BadInput for another extension."""
    if path.suffix.lower() != SUFFIX:
        raise BadInput.of(path, wanted=f"a name ending in {SUFFIX}", found=path.suffix or "none",
                          remedy="choose another name")  # fmt: skip
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez(file, **surface.arrays())  # type: ignore[reportArgumentType]
