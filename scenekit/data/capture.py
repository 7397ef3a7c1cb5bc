"""A capture in memory: photographs, their pinhole cameras in ``world``, and where ``scene`` lies."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from jaxtyping import Bool, Float
from torch import Tensor

from scenekit.core.bounds import Bounds
from scenekit.core.cameras import Cameras
from scenekit.core.cloud import PointCloud
from scenekit.core.transforms import Similarity
from scenekit.data.listing import Listing
from scenekit.data.store import Images, bytes_of, channels_of


@dataclass(frozen=True)
class Capture:
    """Photographs ready to learn from.

    Attributes:
        name: short, for titles and folders.
        format: key of the reader that opened it.
        root: its folder; None for one that was computed.
        cameras: float64 in ``world``, pinholes where images were undistorted; ``view_ids`` number the photographs.
        images: sRGB, or sRGB and straight alpha, of each camera's size; in memory, or decoded when asked for.
        names: of the photographs, unique; the order is sorted by name.
        train, test: indices to learn from and to be judged by; disjoint.
        points: float64 in ``world``, if the capture has any.
        scene_from_world: to the frame in which everything is trained.
        bounds: in ``scene``.
        background: what lies behind transparent pixels; None where images are opaque or nobody knows.
        notes: sentences to be said once.
        depths: depth along z of each pixel centre in ``world`` units, 0 where nothing was measured.
        masks: which pixels may be believed.
        normals: unit normals in ``world``, 0 where nothing was measured.
        source: what was read, so that the photographs can be loaded again at another size.
        downscale: by how much the photographs were shrunk.
        keep_lens: whether they were left as their lenses took them.
    """

    name: str
    format: str
    root: Path | None
    cameras: Cameras
    images: Images
    names: tuple[str, ...]
    train: tuple[int, ...]
    test: tuple[int, ...]
    points: PointCloud | None
    scene_from_world: Similarity
    bounds: Bounds
    background: tuple[float, float, float] | None = None
    notes: tuple[str, ...] = ()
    depths: tuple[Float[Tensor, "_H _W"], ...] | None = None
    masks: tuple[Bool[Tensor, "_H _W"], ...] | None = None
    normals: tuple[Float[Tensor, "_H _W 3"], ...] | None = None
    source: Listing | None = None
    downscale: float = 1.0
    keep_lens: bool = False

    def __len__(self) -> int:
        return len(self.images)

    @property
    def has_alpha(self) -> bool:
        """Whether any image has an alpha channel."""
        return 4 in channels_of(self.images)

    def describe(self) -> dict[str, object]:
        """What is in it, in plain values, for ``scenekit info``."""
        return {
            "name": self.name,
            "format": self.format,
            "images": len(self) if self.source is None else self.source.listed,
            "registered": len(self),
            "sizes": [list(size) for size in sorted(set(self.cameras.sizes))],
            "downscale": self.downscale,
            "lenses": sorted({"pinhole" if lens is None else lens.kind for lens in self.cameras.lenses or (None,)}),
            "alpha": self.has_alpha,
            "bytes_decoded": bytes_of(self.images),
            "train": len(self.train),
            "test": len(self.test),
            "points": 0 if self.points is None else len(self.points),
            "depths": self.depths is not None,
            "masks": self.masks is not None,
            "normals": self.normals is not None,
            "extent": self.bounds.extent,
            "contracted": self.bounds.contracted,
            "scene_from_world": self.scene_from_world.to_json(),
            "notes": list(self.notes),
        }
