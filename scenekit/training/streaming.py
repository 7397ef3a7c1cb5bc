"""Pixels of more photographs than memory: drawn from some of them, which are replaced one by one.

What is drawn is uniform over the resident pixels. Every photograph stays equally long in turn, so that over training
all are drawn from alike. Which come when depends on the training's generator alone, never on how fast they decode.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from scenekit.core.cameras import Pixels
from scenekit.core.checks import BadInput
from scenekit.core.protocols import Batch, Context
from scenekit.data.store import StoredImages
from scenekit.training.batches import PixelBatches, Views
from scenekit.training.ray_budget import RayBudget

STEPS_TO_STAY = 2  # between two replacements: decoding then takes a small share of a step
SHARE = 0.9  # of the cache; the rest is for photographs on their way in
ROUNDS = 8  # of drawing again where masks leave pixels out


def pixel_batches(views: Views, samples: int, *, by_sizes: bool = False) -> PixelBatches | StreamedPixels:
    """Batches of random pixels: from memory where all photographs are there, else streamed.

    Their number follows their cost ``by_sizes`` where each number of pixels is a program of its own.
    """
    kind = StreamedPixels if isinstance(views.images, StoredImages) else PixelBatches
    return kind(views, samples, by_sizes=by_sizes)


class StreamedPixels(RayBudget):
    """See the module; a :class:`~scenekit.training.batches.Batches`.

    Raises BadInput where the cache holds fewer than two photographs, or measured depth or normals are wanted,
    which only captures in memory bring.
    """

    def __init__(self, views: Views, samples: int, *, by_sizes: bool = False) -> None:
        images = views.images
        assert isinstance(images, StoredImages)  # else all pixels are there
        if views.depths is not None or views.normals is not None:
            raise BadInput("measured depth and normals: wanted all photographs in memory, found more than the cache "
                           "holds; raise --cache, or shrink the photographs with --downscale")  # fmt: skip
        super().__init__(samples, by_sizes=by_sizes)
        self.views = views
        self.device = views.cameras.intrinsics.device
        self._images = images.subset(range(len(images)), round((1 - SHARE) * images.cache_bytes))
        self._largest = max(width * height for width, height in images.sizes)
        self._channels = max(images.channels)
        each = self._largest * (self._channels + (views.masks is not None))
        slots = min(len(images), int(SHARE * images.cache_bytes) // each)
        if slots < 2:
            raise BadInput(
                f"--cache: wanted room for at least two photographs of {each / 2**20:.0f} MiB, found "
                f"{images.cache_bytes / 2**20:.0f} MiB; raise it, or shrink the photographs with --downscale"
            )
        self._colors = torch.zeros(slots, self._largest, self._channels, dtype=torch.uint8)
        self._valid = None if views.masks is None else torch.zeros(slots, self._largest, dtype=torch.bool)
        self._members: list[int] = []
        self._queue: list[int] = []
        self._steps = 0
        self._oldest = 0

    def next(self, context: Context) -> Batch:
        """Uniform over the resident pixels that may be believed, after a replacement where one is due."""
        return self.of(self.counted(), context)

    def of(self, rays: int, context: Context) -> Batch:
        """So many pixels; nobody will tell what they cost."""
        if not self._members:
            self._fill([self._drawn(context, set()) for _ in range(len(self._colors))])
        elif self._steps % STEPS_TO_STAY == 0 and len(self._members) < len(self._images):
            self._replace(context)
        self._steps += 1
        slot, local = self._positions(rays, context)
        cameras = torch.tensor(self._members)[slot]
        width = torch.tensor(self.views.cameras.sizes)[cameras, 0]
        pixels = Pixels(cameras, torch.stack([local % width + 0.5, local // width + 0.5], -1))
        return Batch(self.views.cameras, pixels, self._colors[slot, local].float() / 255)

    def _positions(self, rays: int, context: Context) -> tuple[Tensor, Tensor]:
        """Slot and pixel of each ray."""
        counts = torch.tensor([self._pixels(index) for index in self._members])
        starts = torch.cat([torch.zeros(1, dtype=torch.int64), counts.cumsum(0)])
        found: list[Tensor] = []
        missing = rays * context.share.of
        for _ in range(ROUNDS):
            flat = torch.randint(int(starts[-1]), (missing,), generator=context.generator)
            slot = torch.searchsorted(starts, flat, right=True) - 1
            drawn = torch.stack([slot, flat - starts[slot]])
            if self._valid is not None:
                drawn = drawn[:, self._valid[drawn[0], drawn[1]]]
            found.append(drawn)
            missing -= drawn.shape[1]
            if missing == 0:
                break
        drawn = torch.cat(found, 1)
        if drawn.shape[1] == 0:
            raise BadInput("masks: wanted pixels to learn from, found none; white is kept, black is ignored")
        drawn = drawn[:, context.share.rows(drawn.shape[1])]
        return drawn[0], drawn[1]

    def _pixels(self, index: int) -> int:
        width, height = self._images.sizes[index]
        return width * height

    def _drawn(self, context: Context, resident: set[int]) -> int:
        """The next photograph of a random order, those in memory passed over."""
        while True:
            if not self._queue:
                self._queue = context.shuffled(len(self._images))
            index = self._queue.pop()
            if index not in resident:
                return index

    def _fill(self, members: list[int]) -> None:
        self._members = members
        for slot, index in enumerate(members):
            self._images.soon(members[slot : slot + 3])
            self._put(slot, index)

    def _replace(self, context: Context) -> None:
        index = self._drawn(context, set(self._members))
        self._members[self._oldest] = index
        self._put(self._oldest, index)
        self._oldest = (self._oldest + 1) % len(self._members)
        self._images.soon(self._queue[: -len(self._members) - 1 : -1][:2])

    def _put(self, slot: int, index: int) -> None:
        image = self._images[index].reshape(-1, self._images.channels[index])
        self._colors[slot, : len(image), : image.shape[1]] = image
        self._colors[slot, :, image.shape[1] :] = 255
        if self._valid is not None and self.views.masks is not None:
            self._valid[slot, : len(image)] = self.views.masks[index].reshape(-1)

    def state_dict(self) -> dict[str, Any]:
        """The number of rays, who is in memory, and who comes next."""
        return {
            "rays": self.rays,
            "members": list(self._members),
            "queue": list(self._queue),
            "steps": self._steps,
            "oldest": self._oldest,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue. Raises BadInput where the cache was of another size."""
        members = [int(index) for index in state["members"]]
        if len(members) not in (0, len(self._colors)):
            raise BadInput("--cache: wanted the size that the run was begun with, found another; leave it as it was")
        self.begin(int(state["rays"]))
        self._steps, self._oldest = (int(state[key]) for key in ("steps", "oldest"))
        self._queue = [int(index) for index in state["queue"]]
        self._fill(members)
