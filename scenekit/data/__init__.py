"""Captures in: one file per format, and one type, :class:`Capture`, for everything behind it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from scenekit.core.cameras import Cameras
from scenekit.core.checks import BadInput
from scenekit.data import synthetic
from scenekit.data.capture import Capture
from scenekit.data.companions import load_depths, load_masks, load_normals
from scenekit.data.images import cameras_of
from scenekit.data.listing import Listing
from scenekit.data.memory import memory_in_reach
from scenekit.data.placement import unbounded_placement
from scenekit.data.readers import READERS, read_listing
from scenekit.data.split import split_indices
from scenekit.data.store import Images, StoredImages, bytes_of, channels_of

__all__ = ["READERS", "Capture", "load_listing", "open_capture", "open_recorded"]

# Computed captures: the name to open instead of a path, and whether it is unbounded.
SYNTHETIC = {"synthetic": False, "synthetic-unbounded": True}
SYNTHETIC_SIDE = 128
CACHE_SHARE = 1 / 3  # of the memory in reach: fields keep a second copy of the pixels, and training needs the rest


def open_capture(
    path: str | Path, *, downscale: float = 1.0, keep_lens: bool = False, cache_bytes: int | None = None
) -> Capture:
    """Open a capture folder or file, or ``synthetic``; images are undistorted, then shrunk by ``downscale``.

    With ``keep_lens`` they are left as they are, and rays are cast through their lenses; panoramas, orthographic
    images and very wide fisheyes always are.

    Photographs are all kept in memory where they take no more than ``cache_bytes`` decoded (None: a third of the
    memory in reach); else they are decoded when they are asked for, and ``cache_bytes`` of them are kept.

    Raises BadInput, one sentence that names the file and the remedy, for anything wrong with the capture.
    """
    if not downscale >= 1:
        raise BadInput.of("downscale", wanted="1 or more", found=str(downscale), remedy="use 1 for full size")
    if str(path) in SYNTHETIC and not Path(path).exists():
        side = max(1, round(SYNTHETIC_SIDE / downscale))
        capture = synthetic.make(size=(side, side), unbounded=SYNTHETIC[str(path)])
        return replace(capture, downscale=downscale)
    listing = read_listing(Path(path))
    return load_listing(listing, downscale=downscale, keep_lens=keep_lens, cache_bytes=cache_bytes)


def open_recorded(source: Mapping[str, Any], path: str | Path | None = None) -> Capture:
    """The capture of a run, of which its recipe says ``source``, as it was trained on; at ``path`` if it has moved."""
    where = path or source["path"]
    return open_capture(where, downscale=source["downscale"], keep_lens=source.get("keep_lens", False))


def load_listing(
    listing: Listing, *, downscale: float = 1.0, keep_lens: bool = False, cache_bytes: int | None = None
) -> Capture:
    """Load what a reader listed, see :func:`open_capture`."""
    names = tuple(photograph.name for photograph in listing.photographs)
    train, test = split_indices(listing.root, names, listing.split)
    cameras = cameras_of(listing.photographs, downscale, keep_lens=keep_lens)
    cache_bytes = int(memory_in_reach() * CACHE_SHARE) if cache_bytes is None else cache_bytes
    images = _images(StoredImages(listing.photographs, downscale, cache_bytes, keep_lens=keep_lens))
    sizes = cameras.sizes
    scene_from_world, bounds = listing.place or unbounded_placement(cameras, listing.points)
    return Capture(
        name=listing.root.resolve().name,
        format=listing.format,
        root=listing.root,
        cameras=cameras,
        images=images,
        names=names,
        train=train,
        test=test,
        points=listing.points,
        scene_from_world=scene_from_world,
        bounds=bounds,
        masks=load_masks(listing.root, listing.photographs, sizes, keep_lens=keep_lens),
        depths=load_depths(listing.root, listing.photographs, sizes, keep_lens=keep_lens),
        normals=load_normals(listing.root, listing.photographs, sizes, keep_lens=keep_lens),
        background=listing.background if 4 in channels_of(images) else None,
        notes=(*listing.notes, *_on_lenses(listing, cameras)),
        source=listing,
        downscale=downscale,
        keep_lens=keep_lens,
    )


def _on_lenses(listing: Listing, cameras: Cameras) -> tuple[str, ...]:
    """What was done about lenses, in one sentence each."""
    bent = sum(not photograph.lens.is_pinhole for photograph in listing.photographs)
    through = 0 if cameras.lenses is None else sum(lens is not None for lens in cameras.lenses)
    notes = []
    if bent > through:
        notes.append(f"{bent - through} images are undistorted to pinholes first (--keep-lens trains through the lens)")
    if through:
        notes.append(f"{through} images are used as they are, through their lenses")
    return tuple(notes)


def _images(stored: StoredImages) -> Images:
    """All in memory where they fit into the cache."""
    return stored.all_in_memory() if bytes_of(stored) <= stored.cache_bytes else stored
