"""What a step looks at: pixels of all photographs at once, or whole photographs one after another."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

from scenekit.core.cameras import Cameras, Pixels
from scenekit.core.checks import BadInput
from scenekit.core.protocols import Batch, Context
from scenekit.core.stacked import stacked
from scenekit.data.store import Images, StoredImages, channels_of
from scenekit.kernels.pixels_at import pixel_numbers, pixels_at
from scenekit.training.ray_budget import RayBudget


@dataclass(frozen=True)
class Views:
    """Photographs to learn from.

    Attributes:
        cameras: in ``scene``, float32.
        images: uint8, sRGB or sRGB and straight alpha; in memory, or decoded when asked for.
        masks: which pixels may be believed; None for all of them.
        depths: measured depth along z in scene units, 0 where nothing was measured.
        normals: measured unit normals in ``scene``, 0 where nothing was measured.
    """

    cameras: Cameras
    images: Images
    masks: tuple[Bool[Tensor, "_H _W"], ...] | None = None
    depths: tuple[Float[Tensor, "_H _W"], ...] | None = None
    normals: tuple[Float[Tensor, "_H _W 3"], ...] | None = None

    def to(self, device: torch.device) -> Views:
        """On another device; photographs that are decoded when asked for stay where they are."""

        def moved(tensors: Sequence[Tensor] | None) -> tuple[Tensor, ...] | None:
            return None if tensors is None else tuple(tensor.to(device) for tensor in tensors)

        stored = isinstance(self.images, StoredImages)
        images = self.images if stored else moved(self.images)
        assert images is not None
        others = (moved(self.masks), moved(self.depths), moved(self.normals))
        return Views(self.cameras.to(device), images, *others)


@runtime_checkable
class Batches(Protocol):
    """A source of batches that learns from what the last one cost; its state resumes bit for bit.

    Attributes:
        device: where its batches are.
    """

    device: torch.device

    def next(self, context: Context) -> Batch:
        """What the next step looks at."""
        ...

    def feedback(self, work: int, served: float = 1.0) -> None:
        """Learn from what a batch cost: samples or splats, a process's mean, and the share of it that had room."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """Everything that resuming needs."""
        ...

    def load_state_dict(self, state_dict: Mapping[str, Any], /) -> object:
        """Take what :meth:`state_dict` gave."""
        ...


class PixelBatches(RayBudget):
    """Random pixels of all photographs; drawn where ``views.cameras`` are."""

    def __init__(self, views: Views, samples: int, *, by_sizes: bool = False) -> None:
        super().__init__(samples, by_sizes=by_sizes)
        self.views = views
        self.device = views.cameras.intrinsics.device
        self._colors = torch.cat([image.reshape(-1, image.shape[-1]) for image in views.images])
        self._depths = None if views.depths is None else torch.cat([depth.reshape(-1) for depth in views.depths])
        self._normals = None if views.normals is None else torch.cat([n.reshape(-1, 3) for n in views.normals])
        self._chosen = _candidates(views)
        self._starts, self._widths = pixel_numbers(views.cameras.sizes, self.device)

    def next(self, context: Context) -> Batch:
        """Uniform over all pixels of all photographs that may be believed."""
        return self.of(self.counted(), context)

    def of(self, rays: int, context: Context) -> Batch:
        """So many pixels; nobody will tell what they cost."""
        triples = self._normals is not None
        drawn = (rays // 3 if triples else rays) * context.share.of
        among = len(self._colors) if self._chosen is None else len(self._chosen)
        index = torch.randint(among, (drawn,), generator=context.generator, device=self.device)
        index = index[context.share.rows(drawn)]
        index = index if self._chosen is None else self._chosen[index]
        if triples:
            widths = self._widths[torch.searchsorted(self._starts, index, right=True) - 1]
            index = torch.stack([index, index + 1, index + widths], -1).flatten()
        found = pixels_at(index, self._starts, self._widths, self._colors)
        return Batch(
            self.views.cameras,
            Pixels(found.cameras, found.positions),
            found.colors,
            depth=None if self._depths is None else self._depths[index],
            normals=None if self._normals is None else self._normals[index],
            triples=triples,
        )

    def state_dict(self) -> dict[str, Any]:
        """The number of rays."""
        return {"rays": self.rays}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue with the number of rays."""
        self.begin(int(state["rays"]))


def _candidates(views: Views) -> Int[Tensor, " P"] | None:
    """Flat indices of the pixels to draw from; None for all.

    Where normals are wanted, a pixel's neighbours to the right and below must be there too.
    """
    if views.masks is None and views.normals is None:
        return None
    keep = []
    for number, image in enumerate(views.images):
        mask = (
            torch.ones(image.shape[:2], dtype=torch.bool, device=image.device)
            if views.masks is None
            else views.masks[number].clone()
        )
        if views.normals is not None:
            mask[:, :-1] &= mask[:, 1:].clone()
            mask[:-1] &= mask[1:].clone()
            mask[:, -1] = False
            mask[-1] = False
        keep.append(mask.flatten())
    chosen = torch.cat(keep).nonzero().squeeze(-1)
    if not len(chosen):
        raise BadInput("masks: wanted at least one pixel to learn from, found none; white is kept, black is ignored")
    return chosen


class ImageBatches:
    """Whole photographs, each once before any comes again; smaller while training is young.

    ``coarse`` lists (until which progress, reduction): ((0.4, 2),) halves the images for two fifths. ``photographs``
    is how many a process sees a step. They are alike in size and channels: where more are wanted than are left that
    are alike, these come again before the others.
    """

    def __init__(self, views: Views, coarse: tuple[tuple[float, int], ...] = (), photographs: int = 1) -> None:
        self.views = views
        self.coarse = coarse
        self.photographs = photographs
        self._kinds = list(zip(views.cameras.sizes, channels_of(views.images), strict=True))
        self.device = views.cameras.intrinsics.device
        self._queue: list[int] = []
        self._reduced: dict[tuple[int, int], Tensor] = {}
        self._cameras: dict[tuple[int, int], Cameras] = {}

    def next(self, context: Context) -> Batch:
        """The next photographs of a random order; of several processes, each takes others."""
        drawn = [index for _ in range(context.share.of) for index in self._drawn(context)]
        ours, reduction = drawn[context.share.rows(len(drawn))], self._reduction(context.progress)
        images = self.views.images
        if isinstance(images, StoredImages):
            images.soon([*ours, *reversed(self._queue)])
        batch = self.of(ours, reduction)
        return batch if context.share.of == 1 else replace(batch, around=self._cameras_of(drawn, reduction))

    def _drawn(self, context: Context) -> list[int]:
        """One process's."""
        drawn: list[int] = []
        while len(drawn) < self.photographs:
            place = self._last_like(drawn)
            if place is None:
                self._queue = context.shuffled(len(self.views.images)) + self._queue
            else:
                drawn.append(self._queue.pop(place))
        return drawn

    def _last_like(self, drawn: list[int]) -> int | None:
        """Where in the queue the next photograph is that is like these; None where there is none."""
        kinds = self._kinds
        places = range(len(self._queue) - 1, -1, -1)
        return next((i for i in places if not drawn or kinds[self._queue[i]] == kinds[drawn[0]]), None)

    def _cameras_of(self, indices: Sequence[int], reduction: int) -> Cameras:
        """Of reduced photographs."""
        cameras = [self._camera(index, reduction) for index in indices]
        return cameras[0] if len(cameras) == 1 else Cameras.joined(cameras)

    def _camera(self, index: int, reduction: int) -> Cameras:
        """Of one reduced photograph; the last rows and columns that fill no block are cut, not squeezed in."""
        found = self._cameras.get((index, reduction))
        if found is None:
            camera = self.views.cameras[index]
            width, height = camera.sizes[0]
            size = (width // reduction, height // reduction)
            found = replace(camera, intrinsics=camera.intrinsics / reduction, sizes=(size,))
            self._cameras[index, reduction] = found
        return found

    def of(self, indices: Sequence[int], reduction: int = 1) -> Batch:
        """Photographs of one size, reduced by a whole factor with an area filter."""
        views = self.views
        return Batch(
            self._cameras_of(indices, reduction),
            None,
            stacked([self._image(index, reduction) for index in indices]).float() / 255,
            valid=_each(views.masks, indices, lambda mask: _every(mask, reduction)),
            depth=_each(views.depths, indices, lambda depth: _picked(depth, reduction)),
            normals=_each(views.normals, indices, lambda normals: _picked(normals, reduction)),
        )

    def _image(self, index: int, reduction: int) -> Tensor:
        """One, as bytes."""
        image = self._reduced.get((index, reduction))
        if image is None:
            image = _reduce(self.views.images[index], reduction)
            if not isinstance(self.views.images, StoredImages):  # else these copies would grow past its cache
                self._reduced[index, reduction] = image
        return image

    def _reduction(self, progress: float) -> int:
        return next((factor for until, factor in self.coarse if progress < until), 1)

    def feedback(self, work: int, served: float = 1.0) -> None:
        """An image costs what it costs."""

    def state_dict(self) -> dict[str, Any]:
        """The rest of the current order."""
        return {"queue": list(self._queue)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue with the current order."""
        self._queue = [int(index) for index in state["queue"]]


def _each(
    tensors: Sequence[Tensor] | None, indices: Sequence[int], change: Callable[[Tensor], Tensor]
) -> Tensor | None:
    """Some of what belongs to photographs, changed, if there is any."""
    return None if tensors is None else stacked([change(tensors[index]) for index in indices])


def _reduce(image: UInt8[Tensor, "H W c"], factor: int) -> Tensor:
    """Mean over blocks, rounded back to bytes; with alpha, colours are averaged premultiplied."""
    if factor == 1:
        return image
    values = image.permute(2, 0, 1).float()
    alpha = values[3:] / 255
    if len(alpha):
        values = torch.cat([values[:3] * alpha, values[3:]])
    small = torch.nn.functional.avg_pool2d(values, factor)
    if len(alpha):
        small = torch.cat([small[:3] / (small[3:] / 255).clamp(min=1 / 255), small[3:]])
    return small.round().clamp(0, 255).to(torch.uint8).permute(1, 2, 0).contiguous()


def _every(mask: Bool[Tensor, "H W"], factor: int) -> Bool[Tensor, "h w"]:
    """Where all pixels of a block may be believed."""
    height, width = mask.shape[0] // factor, mask.shape[1] // factor
    return mask[: height * factor, : width * factor].reshape(height, factor, width, factor).all(3).all(1)


def _picked(values: Tensor, factor: int) -> Tensor:
    """The value in the middle of each block: measurements are not averaged over edges."""
    height, width = values.shape[0] // factor, values.shape[1] // factor
    return values[factor // 2 :: factor, factor // 2 :: factor][:height, :width]
