"""Looks become pictures: layers rendered in parts, put together, before a background, against a photograph."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from threading import Thread

import torch
from jaxtyping import Float
from torch import Tensor

from scenekit.core.cameras import Cameras
from scenekit.core.protocols import EVAL, Rendering, over_background
from scenekit.core.transforms import Similarity
from scenekit.live.compose import composed
from scenekit.live.cost import CostModel
from scenekit.live.look import Layer, Look
from scenekit.live.photograph import Turn, moved, photograph
from scenekit.live.photographs import Photographs
from scenekit.live.picture import Picture, error_colors, framed, to_image, visible
from scenekit.renderers.background import BLACK, Color
from scenekit.renderers.scene import Scene

READING = 0.02  # seconds between two questions whether photographs have been read

Seen = tuple[Rendering | None, float]


@dataclass
class Studio:
    """Scenes, what each costs, and the photographs they are compared with.

    Attributes:
        scenes: of one world, unless a browser moves them.
        photographs: called when an error is first asked for; raises where there are none.
    """

    scenes: Sequence[Scene]
    photographs: Callable[[], Photographs] | None = None
    _costs: list[CostModel] = field(init=False)
    _found: Future[Photographs] | None = None

    def __post_init__(self) -> None:
        self._costs = [CostModel() for _ in self.scenes]

    def pixels_within(self, look: Look, seconds: float) -> int:
        """How many pixels of all its layers fit into ``seconds``."""
        layers = look.layers + look.beside
        share = seconds / max(1, len(layers))
        return min((self._costs[layer.scene].pixels_within(share) for layer in layers), default=2**20)

    def coarse(self, look: Look, size: tuple[int, int]) -> Picture:
        """A picture at once; whoever calls has a turn."""
        *_, picture = self.pictures(look, size, nullcontext, None)
        assert picture is not None
        return picture

    def pictures(self, look: Look, size: tuple[int, int], turn: Turn, part: float | None) -> Iterator[Picture | None]:
        """None after each part, the picture at last; it is finished where it was taken in parts."""
        if look.channel == "error":
            yield from self._errors(look, size, turn, part)
            return
        cameras = look.cameras(size)
        sides, seconds = [], 0.0
        for layers in (look.layers, look.beside)[: 1 + bool(look.beside)]:
            for rendering, spent in self._rendered(look, layers, cameras, turn, part):
                seconds += spent
                if rendering is None:
                    yield None
                else:
                    sides.append(visible(rendering, look.channel, cameras))
        yield Picture(to_image(_beside(sides, look.split)), part is not None, seconds)

    def depths(
        self, look: Look, cameras: Cameras, turn: Turn, part: float
    ) -> Iterator[tuple[Float[Tensor, "H W"], Float[Tensor, "H W"]] | None]:
        """None after each part, at last depth in ``world`` and opacity of one camera; ValueError without depth."""
        for rendering, _ in self._rendered(look, look.layers, cameras, turn, part):
            if rendering is None:
                yield None
            elif rendering.depth is None:
                raise ValueError("this representation has no depth")
            else:
                yield rendering.depth[0], rendering.opacity[0]

    def _errors(self, look: Look, size: tuple[int, int], turn: Turn, part: float | None) -> Iterator[Picture | None]:
        coming = self._photographs()
        while not coming.done():
            if part is None:
                yield _waiting(size)
                return
            time.sleep(READING)
            yield None
        photographs = coming.result()
        index = photographs.nearest(look.world_from_camera)
        cameras = photographs.within(index, size)
        behind = look.backdrop or self._usual(look.layers)
        wanted = photographs.image(index, cameras.sizes[0], behind)
        sides, seconds, notes = [], 0.0, [photographs.names[index]]
        for layers in (look.layers, look.beside)[: 1 + bool(look.beside)]:
            for rendering, spent in self._rendered(look, layers, cameras, turn, part):
                seconds += spent
                if rendering is None:
                    yield None
                    continue
                error, psnr = error_colors(rendering.color[0].cpu(), wanted)
                sides.append(error)
                notes.append(f"{psnr:.2f} dB")
        image = to_image(framed(_beside(sides, look.split), look.aspect))
        yield Picture(image, part is not None, seconds, " ".join(notes))

    def _photographs(self) -> Future[Photographs]:
        """Read on a thread of their own: they may take long, and others look meanwhile."""
        if self._found is None:
            if self.photographs is None:
                raise ValueError(
                    "error: wanted photographs to compare with, found none; name a run whose capture is here"
                )
            self._found = Future()
            Thread(target=_read, args=(self.photographs, self._found), name="scenekit-photographs", daemon=True).start()
        return self._found

    def _usual(self, layers: tuple[Layer, ...]) -> Color:
        """The colour behind: transparent photographs are compared before what the scene is seen before."""
        if not layers:
            return BLACK
        scene = self.scenes[layers[0].scene]
        colors = scene.background.colors(scene.cameras_in_scene(scene.cameras[:1]), None, EVAL).reshape(-1, 3)
        red, green, blue = colors.detach().mean(0).tolist()
        return red, green, blue

    def _rendered(
        self, look: Look, layers: tuple[Layer, ...], cameras: Cameras, turn: Turn, part: float | None
    ) -> Iterator[Seen]:
        """(None, seconds) after each part, (all layers before the background, seconds of the last part) at last."""
        done: list[Rendering] = []
        seconds = 0.0
        for layer in layers:
            scene = self.scenes[layer.scene]
            own = cameras.moved(layer.world_from_own.inverse())
            context = replace(EVAL, crop=_crop(look, layer, scene))
            for rendering, seconds in photograph(scene, own, turn, self._costs[layer.scene], part, context):
                if rendering is not None:
                    done.append(moved(rendering, layer.world_from_own.scale, layer.world_from_own.rotation))
                if rendering is None or len(done) < len(layers):
                    yield None, seconds
        if not done:
            done = [_nothing(cameras)]
        with turn(), torch.no_grad():
            behind = self._behind(look, layers, cameras)
        whole = composed(done)
        whole = over_background(whole, behind.to(whole.color.device))
        yield replace(whole, color=whole.color.clamp(0, 1)), seconds

    def _behind(self, look: Look, layers: tuple[Layer, ...], cameras: Cameras) -> Tensor:
        if look.backdrop is not None or not layers:
            return torch.tensor(look.backdrop or BLACK)
        scene = self.scenes[layers[0].scene]
        own = cameras.moved(layers[0].world_from_own.inverse())
        return scene.background.colors(scene.cameras_in_scene(own), None, EVAL)


def _crop(look: Look, layer: Layer, scene: Scene) -> Float[Tensor, "3 4"] | None:
    if look.crop is None:
        return None
    return placed_crop(look.crop, layer.world_from_own.after(scene.scene_from_world.inverse()))


def placed_crop(crop: Float[Tensor, "3 4"], world_from_scene: Similarity) -> Float[Tensor, "3 4"]:
    """The box as a scene has it: ``crop`` after ``world_from_scene``."""
    turn = world_from_scene.scale * (crop[:, :3] @ world_from_scene.rotation)
    offset = crop[:, :3] @ world_from_scene.translation + crop[:, 3]
    return torch.cat([turn, offset[:, None]], -1)


def _read(read: Callable[[], Photographs], found: Future[Photographs]) -> None:
    try:
        found.set_result(read())
    except Exception as error:  # whoever waits for them raises it again
        found.set_exception(error)


def _waiting(size: tuple[int, int]) -> Picture:
    return Picture(to_image(torch.zeros(size[1], size[0], 3)), False, 0.0, "reading photographs")


def _nothing(cameras: Cameras) -> Rendering:
    (width, height), *_ = cameras.sizes
    blank = torch.zeros(1, height, width)
    return Rendering(torch.zeros(1, height, width, 3), blank, blank)


def _beside(sides: list[Tensor], split: float) -> Tensor:
    """The first one left of ``split`` of the width, the second one right of it, a white line between them."""
    if len(sides) == 1:
        return sides[0]
    column = round(min(1.0, max(0.0, split)) * sides[0].shape[1])
    joined = torch.cat([sides[0][:, :column], sides[1][:, column:].to(sides[0].device)], 1)
    joined[:, max(0, column - 1) : column + 1] = 1.0
    return joined
