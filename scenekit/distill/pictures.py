"""A teacher's pictures: colour, opacity and depth from a pool of poses, rendered when they are first looked at.

They stay where the teacher is, in half precision.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from scenekit.core.cameras import Cameras, Pixels
from scenekit.core.protocols import Context, Renderer
from scenekit.distill.active import PosePool, RaySource
from scenekit.training.batches import Views

FEWEST = 64  # pictures at a time, whatever they cost
MOST_PIXELS = 2**27  # of all of them: 1.3 GB, in half precision
LOOKING = 0.1  # of the time of a conversion may be spent on a teacher's pictures


@torch.no_grad()
def affordable(teacher: Renderer, cameras: Cameras, seconds: float | None) -> int:
    """How many of the cameras a teacher can be looked at from, in so many seconds for all; as memory allows if None.

    A teacher is slow where it is a large network, and then few pictures are all that a short conversion sees.
    """
    most = min(len(cameras), MOST_PIXELS * len(cameras) // sum(width * height for width, height in cameras.sizes))
    if seconds is not None and most > FEWEST:
        took = []
        for index in range(2):  # the first may have to prepare
            began = time.perf_counter()
            float(teacher.render(cameras[index]).opacity.sum())  # waits for a GPU
            took.append(time.perf_counter() - began)
        most = min(most, int(LOOKING * seconds / took[-1]))
    return max(FEWEST, most)


@dataclass(frozen=True)
class Look:
    """What the teacher shows of some pixels, or of one whole image.

    Attributes:
        cameras, pixels: as a renderer takes them; ``pixels`` is None for whole images.
        numbers: of the pixels, as their source counts them; or the slot of the image.
        seen: colour times opacity, opacity, and depth along z, which is 0 where unknown.
        photographed: opaque photographs: what is behind the scene is in them already; None where there are none.
    """

    cameras: Cameras
    pixels: Pixels | None
    numbers: Int[Tensor, " M"]
    seen: Float[Tensor, "*b 5"]
    photographed: Bool[Tensor, "*b"] | None

    @property
    def color(self) -> Float[Tensor, "*b 3"]:
        """Multiplied by opacity."""
        return self.seen[..., :3]

    @property
    def opacity(self) -> Float[Tensor, "*b"]:
        """In [0, 1]."""
        return self.seen[..., 3]

    @property
    def depth(self) -> Float[Tensor, "*b"]:
        """Along z, 0 where unknown."""
        return self.seen[..., 4]


class Gallery:
    """Pictures of a pool's slots; photographs take the place of the first ones where they are given.

    Pictures are no state: the same pose gives the same picture again.
    """

    def __init__(self, teacher: Renderer, pool: PosePool, photographs: Views | None = None) -> None:
        self.teacher = teacher
        self.pool = pool
        self.photographs = photographs
        self._kept: dict[int, Tensor] = {}

    def forget(self, slots: Iterable[int]) -> None:
        """Their poses have changed."""
        for slot in slots:
            self._kept.pop(slot, None)

    def is_opaque_photograph(self, slot: int) -> bool:
        """Whether a slot shows a photograph without alpha."""
        photographs = self.photographs
        return photographs is not None and slot < self.pool.own and photographs.images[slot].shape[-1] == 3

    def picture(self, slot: int) -> Float[Tensor, "H W 5"]:
        """Colour times opacity, opacity, depth."""
        if slot not in self._kept:
            own = self.photographs is not None and slot < self.pool.own
            self._kept[slot] = self._photograph(slot) if own else self._rendered(self.pool.cameras[slot])
        return self._kept[slot].float()

    @torch.no_grad()
    def _rendered(self, camera: Cameras) -> Tensor:
        rendering = self.teacher.render(camera)
        opacity = rendering.opacity[..., None]
        depth = torch.zeros_like(opacity) if rendering.depth is None else rendering.depth[..., None]
        return torch.cat([rendering.color, opacity, depth], -1)[0].half()

    def _photograph(self, slot: int) -> Tensor:
        assert self.photographs is not None
        values = self.photographs.images[slot].to(self.pool.errors.device).float() / 255
        alpha = values[..., 3:] if values.shape[-1] == 4 else torch.ones_like(values[..., :1])
        return torch.cat([values[..., :3] * alpha, alpha, torch.zeros_like(alpha)], -1).half()


class WholePictures:
    """One picture a step, each once before any comes again; between two rounds some poses are exchanged.

    Never a reduced one: that clears space sooner, and a student begins where surfaces are.
    """

    def __init__(self, gallery: Gallery) -> None:
        self.gallery = gallery
        self._queue: list[int] | None = None

    def next(self, context: Context) -> Look:
        """The next picture of a random order."""
        assert context.generator is not None
        if not self._queue:
            if self._queue is not None:
                self.gallery.forget(self.gallery.pool.renew(context.generator).tolist())
            self._queue = context.shuffled(len(self.gallery.pool.cameras))
        slot = self._queue.pop()
        values = self.gallery.picture(slot)[None]
        opaque = self.gallery.is_opaque_photograph(slot)
        return Look(
            self.gallery.pool.cameras[slot],
            None,
            torch.full((1,), slot, device=values.device),
            values,
            torch.ones(values.shape[:-1], dtype=torch.bool, device=values.device) if opaque else None,
        )

    def note(self, look: Look, errors: Float[Tensor, "*b"], judged: Bool[Tensor, "*b"] | None) -> None:
        """How wrong the student was about the picture, all of which was rendered."""
        self.gallery.pool.note(look.numbers, errors.mean()[None])

    def feedback(self, work: int, served: float) -> None:
        """A picture costs what it costs."""

    def state_dict(self) -> dict[str, Any]:
        """The rest of the current order."""
        return {"queue": self._queue}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue."""
        self._queue = None if state["queue"] is None else [int(slot) for slot in state["queue"]]


class SinglePixels:
    """Pixels of all pictures at once."""

    def __init__(self, gallery: Gallery, source: RaySource) -> None:
        self.gallery = gallery
        self.source = source
        self._places: list[int] = source.starts.tolist()
        self._poses = gallery.pool.cameras.world_from_camera
        self._flat: Tensor | None = None
        opaque = [gallery.is_opaque_photograph(slot) for slot in range(len(gallery.pool.cameras))]
        self._photographed = torch.tensor(opaque, device=source.starts.device) if any(opaque) else None

    def next(self, context: Context) -> Look:
        """Random pixels, and hard ones again."""
        assert context.generator is not None
        numbers = self.source.next(context.generator)
        slots, positions, seen = self.source.pixels(numbers, self._pictures())
        photographed = None if self._photographed is None else self._photographed[slots]
        return Look(self.gallery.pool.cameras, Pixels(slots, positions), numbers, seen, photographed)

    def note(self, look: Look, errors: Float[Tensor, "*b"], judged: Bool[Tensor, "*b"] | None) -> None:
        """How wrong the student was about the pixels, those that had room."""
        assert look.pixels is not None
        self.source.note(look.numbers, look.pixels.cameras, errors, judged)

    def feedback(self, work: int, served: float) -> None:
        """What the pixels have cost."""
        self.source.feedback(work, served)

    def _pictures(self) -> Tensor:
        """All of them, one after another; those whose pose has changed are rendered again."""
        poses = self.gallery.pool.cameras.world_from_camera
        if self._flat is None:
            self._flat = torch.zeros(self._places[-1], 5, dtype=torch.float16, device=poses.device)
            changed = list(range(len(poses)))
        elif poses is self._poses:  # as in most steps: then nobody waits to be told which
            return self._flat
        else:
            changed = (poses != self._poses).flatten(1).any(1).nonzero().squeeze(-1).tolist()
        self.gallery.forget(changed)
        for slot in changed:
            begin, end = self._places[slot : slot + 2]
            self._flat[begin:end] = self.gallery.picture(slot).reshape(-1, 5)
        self.gallery.forget(changed)  # the flat copy serves
        self._poses = poses
        return self._flat

    def state_dict(self) -> dict[str, Any]:
        """The rays'."""
        return self.source.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue."""
        self.source.load_state_dict(state)
