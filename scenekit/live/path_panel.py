"""A camera path in the making: places kept, changed, previewed, saved and filmed."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
import viser
from jaxtyping import Float
from torch import Tensor

from scenekit.live.callbacks import calling
from scenekit.live.film import film
from scenekit.live.look import Look
from scenekit.live.render_loop import Errand, plain
from scenekit.live.stage import Stage
from scenekit.renderers.path_files import through

SIZES = {"320x180": (320, 180), "640x360": (640, 360), "1280x720": (1280, 720), "1920x1080": (1920, 1080)}
PREVIEW_RATE = 15.0
FILM_RATE = 30.0
MOST_KEYS = 200


@dataclass(frozen=True)
class Page:
    """What a path needs of its browser.

    Attributes:
        client: viser's handle.
        stage: the page's frame.
        look: what is seen now.
        go: take a pose in ``world`` and a vertical field of view in radians.
        do: have something done by the thread that owns the scenes.
    """

    client: viser.ClientHandle
    stage: Stage
    look: Callable[[], Look]
    go: Callable[[Float[Tensor, "3 4"], float], None]
    do: Callable[[Errand], None]


class PathPanel:
    """The controls of a path, and the path."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self._keys: list[Look] = []
        self._curve: viser.SceneNodeHandle | None = None
        self._previewing = False
        gui = page.client.gui
        with gui.add_folder("camera path", expand_by_default=False):
            self._add = gui.add_button("add this view")
            self._chosen = gui.add_slider("view", 1, 2, 1, 1, hint="of those that were added")
            self._edit = gui.add_button_group("change it", ("go to", "replace", "remove"))
            self._seconds = gui.add_slider("seconds", 1.0, 60.0, 0.5, 4.0)
            self._play = gui.add_button("preview")
            self._size = gui.add_dropdown("film size", tuple(SIZES), initial_value="640x360")
            self._film = gui.add_button("film to MP4")
            self._save = gui.add_button("save path", hint="for scenekit render --path")
            self._state = gui.add_text("path", "no views yet", disabled=True)
        self._add.on_click(calling(self._append))
        self._edit.on_click(calling(self._change))
        self._film.on_click(calling(self._shoot))
        self._save.on_click(calling(self._keep))
        self._play.on_click(self._preview)

    def _append(self) -> None:
        if len(self._keys) == MOST_KEYS:
            self._state.value = f"{MOST_KEYS} views are the most"
            return
        self._keys.append(self._page.look())
        self._draw()
        self._chosen.value = len(self._keys)

    def _change(self) -> None:
        index = int(self._chosen.value) - 1
        if not 0 <= index < len(self._keys):
            self._state.value = f"there is no view {index + 1}"
            return
        if self._edit.value == "go to":
            self._page.go(self._keys[index].world_from_camera, self._keys[index].field_of_view)
        elif self._edit.value == "replace":
            self._keys[index] = self._page.look()
        else:
            del self._keys[index]
        self._draw()

    def _draw(self) -> None:
        """The path as a line in the page, and in words."""
        self._state.value = f"{len(self._keys)} views"
        last = max(2, len(self._keys))  # a slider has two ends
        if self._chosen.value > last:
            self._chosen.value = last
        self._chosen.max = last
        if self._curve is not None:
            self._curve.remove()
            self._curve = None
        if len(self._keys) > 1:
            centres = torch.stack([pose[:, 3] for pose, _ in self._poses(8 * len(self._keys))])
            places = self._page.stage.page_from_world.points(centres).float().numpy()
            lines = torch.stack([torch.from_numpy(places[:-1]), torch.from_numpy(places[1:])], 1).numpy()
            self._curve = self._page.client.scene.add_line_segments("/path", lines, (80, 200, 255), thickness=0.004)

    def _poses(self, count: int) -> list[tuple[Float[Tensor, "3 4"], float]]:
        """The path sampled evenly: poses in ``world`` and vertical fields of view in radians."""
        poses = torch.stack([key.world_from_camera.double() for key in self._keys])
        angles = torch.tensor([key.field_of_view for key in self._keys], dtype=torch.float64)
        poses, angles = through(poses, angles, count)
        return list(zip(poses, angles.tolist(), strict=True))

    def _is_path(self) -> bool:
        if len(self._keys) < 2:
            self._state.value = "add two views at least"
        return len(self._keys) > 1

    async def _preview(self, _: object) -> None:
        if self._previewing or not self._is_path():
            return
        self._previewing = True
        try:
            for pose, angle in self._poses(max(2, round(PREVIEW_RATE * self._seconds.value))):
                self._page.go(pose, angle)
                await asyncio.sleep(1 / PREVIEW_RATE)
        finally:
            self._previewing = False
        self._state.value = f"{len(self._keys)} views"

    def _shoot(self) -> None:
        if not self._is_path():
            return
        look = self._page.look()
        frames = self._frames()
        looks = [replace(look, world_from_camera=pose, field_of_view=angle) for pose, angle in frames]
        size = SIZES.get(self._size.value, SIZES["640x360"])
        self._page.do(film(looks, size, FILM_RATE, self._tell, self._download))

    def _frames(self) -> list[tuple[Float[Tensor, "3 4"], float]]:
        """Of the film, as :meth:`_poses` gives them."""
        return self._poses(max(2, round(FILM_RATE * self._seconds.value)))

    def _keep(self) -> None:
        """What is saved is the film's frames, so that ``scenekit render`` makes the same film."""
        if self._is_path():
            content = path_json(self._frames()).encode()
            self._page.client.send_file_download("camera_path.json", content, save_immediately=True)

    def _download(self, content: bytes) -> None:
        self._page.client.send_file_download("scenekit.mp4", content, save_immediately=True)

    def _tell(self, words: str) -> None:
        self._state.value = plain(words)


def path_json(frames: Sequence[tuple[Float[Tensor, "3 4"], float]]) -> str:
    """Our own path file (see :mod:`scenekit.renderers.path_files`)."""
    cameras = [{"world_from_camera": pose.tolist(), "fov": math.degrees(angle)} for pose, angle in frames]
    return json.dumps({"cameras": cameras}, indent=1)
