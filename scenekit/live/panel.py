"""One browser's panel: what it shows, how, and the photographs to jump to. Words are plain text only."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import viser
from jaxtyping import Float
from torch import Tensor

from scenekit.core.transforms import matrix_from_quaternion, quaternion_from_matrix
from scenekit.live.arrange import Arrangement
from scenekit.live.callbacks import calling
from scenekit.live.cropping import Cropping
from scenekit.live.film import screenshot
from scenekit.live.frustums import Frustums, field_of_view
from scenekit.live.look import CHANNELS, Look
from scenekit.live.measuring import Measuring
from scenekit.live.path_panel import Page, PathPanel
from scenekit.live.picture import Picture
from scenekit.live.render_loop import Errand
from scenekit.live.stage import Stage
from scenekit.renderers.background import BLACK, WHITE, Color

RESOLUTIONS = {"full": 1.0, "half": 0.5, "quarter": 0.25}
BACKDROPS: dict[str, Color | None] = {"its own": None, "black": BLACK, "white": WHITE}
OTHER = "another"
QUALITY = {False: 60, True: 92}  # of the JPEG: while moving, when finished
NARROWEST, WIDEST = 5.0, 150.0  # degrees


@dataclass(frozen=True)
class Wishes:
    """Whom a panel tells.

    Attributes:
        changed: called after every choice made in it.
        do: has something done by the thread that owns the scenes.
    """

    changed: Callable[[], None]
    do: Callable[[Errand], None]


class Panel:
    """The controls of one client, and what they say about its view.

    Attributes:
        client: viser's handle.
    """

    def __init__(self, client: viser.ClientHandle, names: Sequence[str], stage: Stage, wishes: Wishes) -> None:
        """Build the panel."""
        self.client = client
        self._stage = stage
        self._wishes = wishes
        self._at = 0
        self._told = ""
        gui = client.gui
        gui.add_text("scene", ", ".join(names), disabled=True, visible=len(names) == 1)
        self._channel = gui.add_dropdown("show", CHANNELS)
        self._resolution = gui.add_dropdown("resolution", tuple(RESOLUTIONS))
        self._backdrop = gui.add_dropdown("background", (*BACKDROPS, OTHER))
        self._other = gui.add_rgb("colour", (90, 120, 160), visible=False)
        self._angle = gui.add_slider("field of view", NARROWEST, WIDEST, 0.5, self._degrees(stage.field_of_view))
        self._frustums = Frustums(client, stage, self.jump)
        self._step = gui.add_button_group("photograph", ("previous", "next"), hint="where one was taken: a way back")
        self._picture = gui.add_text("picture", "", disabled=True)
        self._note = gui.add_text("against", "", disabled=True, visible=False)
        self._trouble = gui.add_text("trouble", "", disabled=True, multiline=True, visible=False)
        self._shot = gui.add_button("screenshot")
        self._arrangement = Arrangement(client, names, stage, wishes.changed)
        self._cropping = Cropping(client, stage, wishes.changed)
        self._measuring = Measuring(client, stage, self.look, wishes.do)
        self._path = PathPanel(Page(client, stage, self.look, self.go, wishes.do))
        self._listen()

    def look(self) -> Look:
        """What this browser wants to see now."""
        camera = self.client.camera
        turn = matrix_from_quaternion(torch.from_numpy(np.asarray(camera.wxyz, dtype=np.float64)))
        position = torch.from_numpy(np.asarray(camera.position, dtype=np.float64))
        pose = self._stage.world_from_camera(torch.cat([turn, position[:, None]], -1))
        scale = RESOLUTIONS.get(self._resolution.value, 1.0)
        return Look(
            pose,
            camera.fov,
            camera.image_width / max(1, camera.image_height),
            max(1, int(camera.image_height * scale)),
            self._arrangement.layers(),
            self._channel.value if self._channel.value in CHANNELS else CHANNELS[0],
            self._color(),
            self._cropping.crop(),
            self._arrangement.beside(),
            self._arrangement.split,
        )

    def show(self, picture: Picture) -> None:
        """Put a picture behind the page's own objects."""
        quality = QUALITY[picture.finished]
        self.client.scene.set_background_image(picture.image, format="jpeg", jpeg_quality=quality)
        height, width, _ = picture.image.shape
        state = "finished" if picture.finished else "moving"
        self._picture.value = f"{width}x{height}, {1000 * picture.seconds:.0f} ms, {state}"
        if picture.note != self._note.value:
            self._note.value = picture.note
            self._note.visible = bool(picture.note)
        self.client.flush()

    def tell(self, words: str) -> None:
        """Show what went wrong, or nothing."""
        if words != self._told:
            self._told = words
            self._trouble.value = words
            self._trouble.visible = bool(words)

    def jump(self, index: int) -> None:
        """Take the place of a photograph's camera."""
        photographs = self._stage.photographs
        self._at = index % len(photographs)
        self._place(photographs.world_from_camera[self._at], field_of_view(self._stage, self._at))

    def go(self, world_from_camera: Float[Tensor, "3 4"], field_of_view: float) -> None:
        """Take a pose in ``world``."""
        self._place(self._stage.page_from_world.poses(world_from_camera), field_of_view)

    def moved(self) -> None:
        """The browser's camera is elsewhere."""
        self._angle.value = self._degrees(self.client.camera.fov)
        self._frustums.update()
        self._wishes.changed()

    def _place(self, page_from_camera: Float[Tensor, "3 4"], field_of_view: float) -> None:
        centre = page_from_camera[:, 3]
        ahead = max(0.05, float(-centre @ page_from_camera[:, 2]))  # the focus is the page's origin
        camera = self.client.camera
        with self.client.atomic():
            camera.position = centre.numpy()
            camera.look_at = (centre + ahead * page_from_camera[:, 2]).numpy()
            camera.wxyz = quaternion_from_matrix(page_from_camera[:, :3]).numpy()
            camera.fov = field_of_view

    def _listen(self) -> None:
        for control in (self._channel, self._resolution, self._other):
            control.on_update(calling(self._wishes.changed))
        self._backdrop.on_update(calling(self._choose_backdrop))
        self._angle.on_update(calling(self._zoom))
        self._step.on_click(calling(self._step_on))
        self._shot.on_click(calling(self._shoot))

    def _color(self) -> Color | None:
        if self._backdrop.value != OTHER:
            return BACKDROPS.get(self._backdrop.value)
        red, green, blue = (min(255, max(0, value)) / 255 for value in self._other.value)
        return red, green, blue

    def _choose_backdrop(self) -> None:
        self._other.visible = self._backdrop.value == OTHER
        self._wishes.changed()

    def _zoom(self) -> None:
        """What the slider says, where that is not what the camera has."""
        angle = min(WIDEST, max(NARROWEST, self._angle.value))
        if abs(angle - self._degrees(self.client.camera.fov)) > 0.3:
            self.client.camera.fov = math.radians(angle)

    def _shoot(self) -> None:
        def keep(content: bytes) -> None:
            self.client.send_file_download("scenekit.png", content, save_immediately=True)

        self._wishes.do(screenshot(self.look(), keep))

    def _step_on(self) -> None:
        self.jump(self._at + (1 if self._step.value == "next" else -1))

    @staticmethod
    def _degrees(angle: float) -> float:
        return round(2 * min(WIDEST, max(NARROWEST, math.degrees(angle)))) / 2
