"""The distance of two points that are picked in the page, in the units of the capture's world."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np
import torch
import viser
from jaxtyping import Float
from torch import Tensor

from scenekit.core.cameras import Cameras
from scenekit.live.callbacks import calling
from scenekit.live.look import Look
from scenekit.live.render_loop import STILL_PART, Errand
from scenekit.live.stage import Stage
from scenekit.live.studio import Studio
from scenekit.live.turns import Turns

PICKED = 5  # pixels a side of the picture about a ray, as wide as a pixel of a large window
PIXEL_ANGLE = 1e-3
COLOR = (255, 60, 60)


class Measuring:
    """Pick one point, then another."""

    def __init__(
        self, client: viser.ClientHandle, stage: Stage, look: Callable[[], Look], do: Callable[[Errand], None]
    ) -> None:
        """``look`` says what is seen now; ``do`` has something done by the thread that owns the scenes."""
        self._client, self._stage, self._look, self._do = client, stage, look, do
        self._points: list[Float[Tensor, "3"]] = []
        self._nodes: list[viser.SceneNodeHandle] = []
        gui = client.gui
        with gui.add_folder("measure", expand_by_default=False):
            self._on = gui.add_checkbox("pick points", False, hint="then click on two points of the scene")
            self._told = gui.add_text("distance", "", disabled=True)
        self._on.on_update(calling(self._switch))

    def _switch(self) -> None:
        self._clear()
        if not self._on.value:
            self._client.scene.remove_click_callback("all")
            return

        @self._client.scene.on_click()
        def _(event: viser.SceneClickEvent) -> None:
            self._pick(event)

    def _pick(self, event: viser.SceneClickEvent) -> None:
        world_from_page = self._stage.page_from_world.inverse()
        origin = world_from_page.points(torch.tensor(event.ray_origin, dtype=torch.float64))
        direction = torch.tensor(event.ray_direction, dtype=torch.float64)
        look = self._look()

        def errand(studio: Studio, turns: Turns) -> Iterator[None]:
            point = None
            for found in picked(studio, turns, look, origin, direction):
                point = found
                yield None
            if point is None:
                self._told.value = "nothing there"
            else:
                self._add(point)

        self._do(errand)

    def _add(self, point: Float[Tensor, "3"]) -> None:
        if len(self._points) == 2:
            self._clear()
        self._points.append(point)
        scene = self._client.scene
        places = self._stage.page_from_world.points(torch.stack(self._points)).numpy()
        name = f"/measure/{len(self._points)}"
        self._nodes.append(scene.add_icosphere(name, 0.006, COLOR, position=places[-1]))
        if len(self._points) < 2:
            self._told.value = "one point; pick another"
            return
        line = places[None].astype(np.float32)
        self._nodes.append(scene.add_line_segments("/measure/line", line, COLOR, thickness=0.003))
        distance = float((self._points[1] - self._points[0]).norm())
        self._told.value = f"{distance:.6g} world units"

    def _clear(self) -> None:
        for node in self._nodes:
            node.remove()
        self._nodes.clear()
        self._points.clear()
        self._told.value = ""


def picked(
    studio: Studio, turns: Turns, look: Look, origin: Float[Tensor, "3"], direction: Float[Tensor, "3"]
) -> Iterator[Float[Tensor, "3"] | None]:
    """None after each part, at last where a ray in ``world`` meets what ``look`` shows; None where nothing is."""
    pose = along(origin, direction)
    lens = torch.tensor([[1 / PIXEL_ANGLE, 1 / PIXEL_ANGLE, PICKED / 2, PICKED / 2]], dtype=torch.float64)
    camera = Cameras(pose[None], lens, ((PICKED, PICKED),))
    for seen in studio.depths(look, camera, turns.viewing, STILL_PART):
        if seen is None:
            yield None
            continue
        depth, opacity = seen
        there = depth[(opacity > 0.5) & (depth > 0)]
        yield None if there.numel() == 0 else pose[:, 3] + float(there.median()) * pose[:, 2]


def along(origin: Float[Tensor, "3"], direction: Float[Tensor, "3"]) -> Float[Tensor, "3 4"]:
    """A camera at ``origin`` that looks along ``direction``, whichever way up."""
    ahead = torch.nn.functional.normalize(direction.double(), dim=0)
    if not math.isfinite(float(ahead.sum())) or float(ahead.norm()) < 0.5:
        raise ValueError("pick: wanted a direction, found none")
    axis = torch.zeros(3, dtype=torch.float64)
    axis[int(ahead.abs().argmin())] = 1
    aside = torch.nn.functional.normalize(torch.linalg.cross(ahead, axis), dim=0)
    down = torch.linalg.cross(ahead, aside)
    return torch.stack([aside, down, ahead, origin.double()], -1)
