"""Signals that fields learn besides photographs: one file each. A kind is a module with ``sniff`` and ``read``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from scenekit.core.checks import BadInput
from scenekit.data.signals import image, panorama, surface, volume
from scenekit.data.signals.signal import Facts, Points, Signal


@dataclass(frozen=True)
class Kind:
    """How a kind of signal is recognised and read.

    Attributes:
        sniff: whether a path looks like one.
        read: the signal; raises BadInput.
        files: what its files are called, for people.
    """

    sniff: Callable[[Path], bool]
    read: Callable[[Path], Signal]
    files: str


# In this order a path is asked about.
SIGNALS: dict[str, Kind] = {
    "volume": Kind(volume.sniff, volume.read, ".npy, .nrrd, synthetic-volume"),
    "surface": Kind(surface.sniff, surface.read, ".obj, .ply, .glb, .stl, .off; .npz of distances"),
    "panorama": Kind(panorama.sniff, panorama.read, ".hdr or .exr twice as wide as high"),
    "image": Kind(image.sniff, image.read, ".png, .jpg, .tif, .webp, .hdr, .exr"),
}


def open_signal(path: str | Path, *, kind: str | None = None) -> Signal:
    """Read one file as a signal; the file says of which kind unless ``kind`` does.

    Raises BadInput where the file is missing, of no known kind or damaged.
    """
    file = Path(path)
    if not file.is_file() and str(path) not in volume.SYNTHETIC:
        found = "a folder" if file.is_dir() else "none"
        raise BadInput.of(path, wanted="a file to fit", found=found, remedy="check the path")
    chosen = kind or next((name for name, entry in SIGNALS.items() if entry.sniff(file)), None)
    if chosen not in SIGNALS:
        known = "; ".join(f"{name} ({entry.files})" for name, entry in SIGNALS.items())
        raise BadInput.of(path, wanted=f"one of {known}", found=file.suffix or "no extension",
                          remedy="convert the file")  # fmt: skip
    return SIGNALS[chosen].read(file)


__all__ = ["SIGNALS", "Facts", "Kind", "Points", "Signal", "open_signal"]
