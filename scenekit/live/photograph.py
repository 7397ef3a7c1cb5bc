"""A picture in parts, so that whoever waits for the scene waits for one part and not for the whole."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace

import torch

from scenekit.core.cameras import Cameras, Pixels, every_pixel
from scenekit.core.protocols import Rendering
from scenekit.live.cost import CostModel
from scenekit.live.look import Backdrop
from scenekit.renderers.background import BLACK, WHITE, GivenBackground
from scenekit.renderers.scene import Scene

Turn = Callable[[], AbstractContextManager[None]]


def photograph(
    scene: Scene, cameras: Cameras, turn: Turn, cost: CostModel, part: float | None
) -> Iterator[tuple[Rendering | None, float]]:
    """Render one camera, yielding (None, seconds) after each part, (all of it [1 H W ..], seconds) at last.

    Args:
        scene: touched within a turn only.
        cameras: one, in ``world``.
        turn: gives a turn; one is taken for each part.
        cost: says how many pixels a part may have, and learns.
        part: seconds for a part; None renders all pixels in one, as do scenes that render whole images.
    """
    (width, height), *_ = cameras.sizes
    if scene.renderer.batching == "images":
        rendering, seconds = _timed(scene, cameras, None, turn, cost)
        yield rendering, seconds
        return
    pixels = every_pixel(cameras)
    pixels = Pixels(pixels.cameras, pixels.positions.float())
    done: list[Rendering] = []
    begin = 0
    while begin < len(pixels):
        count = len(pixels) if part is None else max(256, cost.pixels_within(part))
        rendering, seconds = _timed(scene, cameras, pixels[begin : begin + count], turn, cost)
        done.append(rendering)
        begin += count
        if begin < len(pixels):
            yield None, seconds
        else:
            yield _joined(done, height, width), seconds


def with_backdrop(scene: Scene, backdrop: Backdrop) -> Scene:
    """The scene before another background; the renderer is shared."""
    if backdrop == "its own":
        return scene
    return replace(scene, background=GivenBackground(BLACK if backdrop == "black" else WHITE))


def _timed(
    scene: Scene, cameras: Cameras, pixels: Pixels | None, turn: Turn, cost: CostModel
) -> tuple[Rendering, float]:
    with turn():
        begun = time.perf_counter()
        rendering = scene.render(cameras, pixels)
        seconds = time.perf_counter() - begun
    (width, height), *_ = cameras.sizes
    cost.learn(width * height if pixels is None else len(pixels), seconds)
    return rendering, seconds


def _joined(parts: list[Rendering], height: int, width: int) -> Rendering:
    depths = [part.depth for part in parts if part.depth is not None]
    return Rendering(
        color=torch.cat([part.color for part in parts]).reshape(1, height, width, 3),
        opacity=torch.cat([part.opacity for part in parts]).reshape(1, height, width),
        depth=torch.cat(depths).reshape(1, height, width) if len(depths) == len(parts) else None,
    )
