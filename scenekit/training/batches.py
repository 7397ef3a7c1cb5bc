"""What a step looks at: pixels of all photographs at once, or one photograph after another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from scenekit.core.cameras import Cameras, Pixels
from scenekit.core.protocols import Context, Rendering


@dataclass(frozen=True)
class Views:
    """Photographs to learn from: cameras in ``scene`` (float32) and images, uint8, sRGB, straight alpha."""

    cameras: Cameras
    images: tuple[UInt8[Tensor, "_H _W _C"], ...]


@dataclass(frozen=True)
class Batch:
    """Cameras, the pixels asked for (None: all of them), and their photographed colours in [0, 1]."""

    cameras: Cameras
    pixels: Pixels | None
    target: Float[Tensor, "*b c"]


@runtime_checkable
class Batches(Protocol):
    """A source of batches that learns from what the last one cost; its state resumes bit for bit."""

    def next(self, context: Context) -> Batch:
        """What the next step looks at."""
        ...

    def feedback(self, rendering: Rendering) -> None:
        """Learn from what the last batch cost."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """Everything that resuming needs."""
        ...

    def load_state_dict(self, state_dict: Mapping[str, Any], /) -> object:
        """Take what :meth:`state_dict` gave."""
        ...


class PixelBatches:
    """Random pixels of all photographs; their number follows a budget of samples a step (instant-ngp)."""

    def __init__(self, views: Views, samples: int) -> None:
        self.views = views
        self.samples = samples
        self.rays = max(256, samples // 64)
        self._colors = torch.cat([image.reshape(-1, image.shape[-1]) for image in views.images])
        widths, heights = torch.tensor(views.cameras.sizes).unbind(-1)
        self._widths = widths
        self._starts = torch.cat([torch.zeros(1, dtype=torch.int64), (widths * heights).cumsum(0)])

    def next(self, context: Context) -> Batch:
        """Uniform over all pixels of all photographs."""
        index = torch.randint(len(self._colors), (self.rays,), generator=context.generator)
        return Batch(self.views.cameras, self.pixels(index), self._colors[index].float() / 255)

    def pixels(self, index: Int[Tensor, " R"]) -> Pixels:
        """Which pixel of which camera each flat index is."""
        camera = torch.searchsorted(self._starts, index, right=True) - 1
        local = index - self._starts[camera]
        width = self._widths[camera]
        return Pixels(camera, torch.stack([local % width + 0.5, local // width + 0.5], -1))

    def feedback(self, rendering: Rendering) -> None:
        """Aim the next batch at the budget of samples; the number of rays changes by at most a factor of 2."""
        measured = max(1, int(rendering.trace["samples"]))
        wanted = self.rays * min(2.0, max(0.5, self.samples / measured))
        self.rays = min(max(256, round(wanted / 256) * 256), self.samples)

    def state_dict(self) -> dict[str, Any]:
        """The number of rays."""
        return {"rays": self.rays}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue with the number of rays."""
        self.rays = int(state["rays"])


class ImageBatches:
    """One whole photograph a step, each once before any comes again; smaller while training is young.

    ``coarse`` lists (until which progress, reduction): ((0.4, 2),) halves the images for two fifths.
    """

    def __init__(self, views: Views, coarse: tuple[tuple[float, int], ...] = ()) -> None:
        self.views = views
        self.coarse = coarse
        self._queue: list[int] = []
        self._reduced: dict[tuple[int, int], Tensor] = {}

    def next(self, context: Context) -> Batch:
        """The next photograph of a random order."""
        if not self._queue:
            self._queue = torch.randperm(len(self.views.images), generator=context.generator).tolist()
        return self.image(self._queue.pop(), self._reduction(context.progress))

    def image(self, index: int, reduction: int = 1) -> Batch:
        """One photograph, reduced by a whole factor with an area filter."""
        target = self._reduced.get((index, reduction))
        if target is None:
            target = _reduce(self.views.images[index], reduction)
            self._reduced[index, reduction] = target
        camera = self.views.cameras[index].resized([(target.shape[1], target.shape[0])])
        width, height = self.views.cameras.sizes[index]
        if reduction > 1:  # the last rows and columns that fill no block are cut, not squeezed in
            exact = self.views.cameras.intrinsics[index : index + 1] / reduction
            camera = replace(camera, intrinsics=exact)
        assert target.shape[:2] == (height // reduction, width // reduction)
        return Batch(camera, None, target[None].float() / 255)

    def _reduction(self, progress: float) -> int:
        return next((factor for until, factor in self.coarse if progress < until), 1)

    def feedback(self, rendering: Rendering) -> None:
        """An image costs what it costs."""

    def state_dict(self) -> dict[str, Any]:
        """The rest of the current order."""
        return {"queue": list(self._queue)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue with the current order."""
        self._queue = [int(index) for index in state["queue"]]


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
