"""More photographs than memory: decoded when they are asked for, by workers, kept within a number of bytes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Lock
from typing import overload

from jaxtyping import UInt8
from torch import Tensor

from scenekit.data.decode import has_alpha, opened
from scenekit.data.images import load_image, load_images, shrunk
from scenekit.data.listing import Photograph

Image = UInt8[Tensor, "_H _W _C"]
Images = Sequence[Image]  # a tuple in memory, or StoredImages
WORKERS = 2


class StoredImages(Sequence[Image]):
    """Photographs as :func:`scenekit.data.images.load_images` gives them, one at a time.

    Attributes:
        sizes: (width, height) of each, after shrinking.
        channels: 3, or 4 with alpha, of each.
        cache_bytes: that decoded photographs may take, those being decoded included.
    """

    def __init__(
        self, photographs: Sequence[Photograph], downscale: float, cache_bytes: int, *, keep_lens: bool = False
    ) -> None:
        self._photographs = tuple(photographs)
        self._downscale = downscale
        self._keep_lens = keep_lens
        self.cache_bytes = cache_bytes
        self.sizes = tuple(shrunk(photograph.lens.size, downscale) for photograph in self._photographs)
        self.channels = channels_on_disk(self._photographs)
        self._kept: OrderedDict[int, Future[Image]] = OrderedDict()  # the least recently used first
        self._lock = Lock()
        self._workers = ThreadPoolExecutor(WORKERS, thread_name_prefix="photographs")

    def __len__(self) -> int:
        return len(self._photographs)

    @overload
    def __getitem__(self, index: int) -> Image: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Image, ...]: ...
    def __getitem__(self, index: int | slice) -> Image | tuple[Image, ...]:
        """Wait for a photograph. Raises BadInput for a damaged file, and IndexError."""
        if isinstance(index, slice):
            return tuple(self[each] for each in range(len(self))[index])
        return self._asked(range(len(self))[index], wanted_now=True).result()

    def soon(self, indices: Sequence[int]) -> None:
        """Let workers decode these, as far as the cache has room for them beside what was asked for last."""
        for index in indices[:WORKERS]:
            self._asked(index, wanted_now=False)

    def bytes_of(self, index: int) -> int:
        """What a decoded photograph takes."""
        width, height = self.sizes[index]
        return width * height * self.channels[index]

    @property
    def bytes_held(self) -> int:
        """What decoded photographs take now, those being decoded included."""
        with self._lock:
            return sum(self.bytes_of(index) for index in self._kept)

    def subset(self, indices: Sequence[int], cache_bytes: int | None = None) -> StoredImages:
        """Some of them, with a cache of their own (None: as large as this one); this one is emptied."""
        with self._lock:
            self._kept.clear()
        some = [self._photographs[index] for index in indices]
        cache_bytes = self.cache_bytes if cache_bytes is None else cache_bytes
        return StoredImages(some, self._downscale, cache_bytes, keep_lens=self._keep_lens)

    def all_in_memory(self) -> tuple[Image, ...]:
        """Every photograph, decoded once, outside of the cache."""
        return load_images(self._photographs, self._downscale, keep_lens=self._keep_lens)[0]

    def _asked(self, index: int, *, wanted_now: bool) -> Future[Image]:
        with self._lock:
            found = self._kept.get(index)
            if found is None:
                self._make_room(self.bytes_of(index))
                found = self._workers.submit(self._loaded, index)
                self._kept[index] = found
            elif wanted_now:
                self._kept.move_to_end(index)
            return found

    def _loaded(self, index: int) -> Image:
        return load_image(self._photographs[index], self._downscale, keep_lens=self._keep_lens)

    def _make_room(self, size: int) -> None:
        held = sum(self.bytes_of(index) for index in self._kept)
        while self._kept and held + size > self.cache_bytes:
            index, _ = self._kept.popitem(last=False)
            held -= self.bytes_of(index)


def channels_on_disk(photographs: Sequence[Photograph]) -> tuple[int, ...]:
    """3, or 4 where a file has alpha, by the headers alone. Raises BadInput for what is no image."""

    def of(photograph: Photograph) -> int:
        with opened(photograph.path) as image:
            return 4 if has_alpha(image) else 3

    return tuple(of(photograph) for photograph in photographs)


def channels_of(images: Images) -> tuple[int, ...]:
    """Of each image, without decoding those that are not in memory."""
    return images.channels if isinstance(images, StoredImages) else tuple(image.shape[-1] for image in images)


def bytes_of(images: Images) -> int:
    """That all images take, decoded."""
    if isinstance(images, StoredImages):
        return sum(images.bytes_of(index) for index in range(len(images)))
    return sum(image.numel() for image in images)


def chosen(images: Images, indices: Sequence[int]) -> Images:
    """Some of the images, stored as these are."""
    if isinstance(images, StoredImages):
        return images.subset(indices)
    return tuple(images[index] for index in indices)
