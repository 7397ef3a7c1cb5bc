"""One browser's panel: what it shows, how, and the photographs to jump to. Words are plain text only."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
import viser

from scenekit.core.transforms import matrix_from_quaternion, quaternion_from_matrix
from scenekit.live.look import BACKDROPS, CHANNELS, Look
from scenekit.live.picture import Picture
from scenekit.live.stage import Stage

RESOLUTIONS = {"full": 1.0, "half": 0.5, "quarter": 0.25}
QUALITY = {False: 60, True: 92}  # of the JPEG: while moving, when finished
FRUSTUM = 0.08  # of the photographs' distance


class Panel:
    """The controls of one client, and what they say about its view.

    Attributes:
        client: viser's handle.
    """

    def __init__(
        self, client: viser.ClientHandle, names: Sequence[str], stage: Stage, changed: Callable[[], None]
    ) -> None:
        """Build the panel; ``changed`` is called after every choice made in it."""
        self.client = client
        self._names = tuple(names)
        self._stage = stage
        self._at = 0
        gui = client.gui
        self._scene = gui.add_dropdown("scene", self._names, visible=len(names) > 1)
        self._channel = gui.add_dropdown("show", CHANNELS)
        self._resolution = gui.add_dropdown("resolution", tuple(RESOLUTIONS))
        self._backdrop = gui.add_dropdown("background", BACKDROPS)
        self._frustums_shown = gui.add_checkbox("photographs", False)
        self._step = gui.add_button_group("photograph", ("previous", "next"))
        self._picture = gui.add_text("picture", "", disabled=True)
        self._trouble = gui.add_text("trouble", "", disabled=True, multiline=True, visible=False)
        self._told = ""
        for control in (self._scene, self._channel, self._resolution, self._backdrop):
            control.on_update(_calling(changed))
        self._step.on_click(_calling(self._step_on))
        self._frustums = client.scene.add_frame("/photographs", show_axes=False, visible=False)
        self._frustums_shown.on_update(_calling(self._show_frustums))
        self._add_frustums()

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
            self._names.index(self._scene.value) if self._scene.value in self._names else 0,
            self._channel.value if self._channel.value in CHANNELS else CHANNELS[0],
            self._backdrop.value if self._backdrop.value in BACKDROPS else BACKDROPS[0],
        )

    def show(self, picture: Picture) -> None:
        """Put a picture behind the page's own objects."""
        quality = QUALITY[picture.finished]
        self.client.scene.set_background_image(picture.image, format="jpeg", jpeg_quality=quality)
        height, width, _ = picture.image.shape
        state = "finished" if picture.finished else "moving"
        self._picture.value = f"{width}x{height}, {1000 * picture.seconds:.0f} ms, {state}"
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
        pose = photographs.world_from_camera[self._at]
        centre = pose[:, 3]
        ahead = max(0.05, float(-centre @ pose[:, 2]))  # the focus is the page's origin
        camera = self.client.camera
        with self.client.atomic():
            camera.position = centre.numpy()
            camera.look_at = (centre + ahead * pose[:, 2]).numpy()
            camera.wxyz = quaternion_from_matrix(pose[:, :3]).numpy()
            camera.fov = _field_of_view(self._stage, self._at)

    def _step_on(self) -> None:
        self.jump(self._at + (1 if self._step.value == "next" else -1))

    def _show_frustums(self) -> None:
        self._frustums.visible = self._frustums_shown.value

    def _add_frustums(self) -> None:
        photographs = self._stage.photographs
        for index, (width, height) in enumerate(photographs.sizes):
            pose = photographs.world_from_camera[index]
            frustum = self.client.scene.add_camera_frustum(
                f"/photographs/{index}",
                _field_of_view(self._stage, index),
                width / height,
                scale=FRUSTUM,
                thickness=0.03 * FRUSTUM,
                color=(240, 180, 40),
                wxyz=quaternion_from_matrix(pose[:, :3]).numpy(),
                position=pose[:, 3].numpy(),
            )
            frustum.on_click(_calling(lambda index=index: self.jump(index)))


def _field_of_view(stage: Stage, index: int) -> float:
    _, height = stage.photographs.sizes[index]
    return 2 * math.atan(height / (2 * float(stage.photographs.intrinsics[index, 1])))


def _calling(action: Callable[[], None]):
    """A callback that viser runs in its event loop, in order; it gives the event, which nobody needs."""

    async def call(_: object) -> None:
        action()

    return call
