"""A picture in parts, so that whoever waits for the scene waits for one part and not for the whole."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace

import torch

from scenekit.core.cameras import Cameras, Pixels, every_pixel
from scenekit.core.precision import quick_products
from scenekit.core.protocols import EVAL, Context, Rendering
from scenekit.live.cost import CostModel
from scenekit.renderers.scene import Scene

Turn = Callable[[], AbstractContextManager[None]]


def photograph(
    scene: Scene, cameras: Cameras, turn: Turn, cost: CostModel, part: float | None, context: Context = EVAL
) -> Iterator[tuple[Rendering | None, float]]:
    """Render one camera, yielding (None, seconds) after each part, (all of it [1 H W ..], seconds) at last.

    The rendering is premultiplied and has no background; depth and normals are in ``world``.

    Args:
        scene: touched within a turn only.
        cameras: one, in ``world``.
        turn: gives a turn; one is taken for each part.
        cost: says how many pixels a part may have, and learns.
        part: seconds for a part; None renders all pixels in one, as do scenes that render whole images.
        context: may crop.
    """
    (width, height), *_ = cameras.sizes
    if scene.renderer.batching == "images":
        yield _timed(scene, cameras, None, turn, cost, context)
        return
    pixels = every_pixel(cameras)
    pixels = Pixels(pixels.cameras, pixels.positions.float())
    done: list[Rendering] = []
    begin = 0
    while begin < len(pixels):
        count = len(pixels) if part is None else max(256, cost.pixels_within(part))
        rendering, seconds = _timed(scene, cameras, pixels[begin : begin + count], turn, cost, context)
        done.append(rendering)
        begin += count
        if begin < len(pixels):
            yield None, seconds
        else:
            yield _joined(done, height, width), seconds


def _timed(
    scene: Scene, cameras: Cameras, pixels: Pixels | None, turn: Turn, cost: CostModel, context: Context
) -> tuple[Rendering, float]:
    device = scene.device
    with turn(), torch.no_grad(), quick_products(device):
        begun = time.perf_counter()
        asked = None if pixels is None else pixels.to(device)
        rendering = scene.renderer.render(scene.cameras_in_scene(cameras), asked, context=context)
        if device.type == "cuda":  # whose work is only asked for by now
            torch.cuda.current_stream(device).synchronize()
        seconds = time.perf_counter() - begun
    (width, height), *_ = cameras.sizes
    cost.learn(width * height if pixels is None else len(pixels), seconds)
    world_from_scene = scene.scene_from_world.inverse()
    return moved(replace(rendering, terms={}, trace={}), world_from_scene.scale, world_from_scene.rotation), seconds


def moved(rendering: Rendering, scale: float, turn: torch.Tensor) -> Rendering:
    """The rendering after its frame was scaled and turned."""
    depth, normals = rendering.depth, rendering.normals
    return replace(
        rendering,
        depth=None if depth is None else depth * scale,
        normals=None if normals is None else normals @ turn.T.to(normals),
    )


def _joined(parts: list[Rendering], height: int, width: int) -> Rendering:
    depths = [part.depth for part in parts if part.depth is not None]
    normals = [part.normals for part in parts if part.normals is not None]
    return Rendering(
        color=torch.cat([part.color for part in parts]).reshape(1, height, width, 3),
        opacity=torch.cat([part.opacity for part in parts]).reshape(1, height, width),
        depth=torch.cat(depths).reshape(1, height, width) if len(depths) == len(parts) else None,
        normals=torch.cat(normals).reshape(1, height, width, 3) if len(normals) == len(parts) else None,
    )
