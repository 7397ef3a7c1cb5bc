"""The photographs' cameras in the page, to jump to."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import viser

from scenekit.core.transforms import quaternion_from_matrix
from scenekit.live.callbacks import calling
from scenekit.live.stage import Stage

SIZE = 0.08  # of the photographs' distance
NEAREST = 1.5  # of a frustum's size: whoever is nearer would see nothing but its edges
COLOR = (240, 180, 40)


class Frustums:
    """One for every photograph, while they are asked for."""

    def __init__(self, client: viser.ClientHandle, stage: Stage, jump: Callable[[int], None]) -> None:
        """``jump`` is given the photograph that was clicked on."""
        self._client = client
        self._centres = stage.photographs.centres.numpy()
        self._shown = client.gui.add_checkbox("photographs", False, hint="click on one to go there")
        self._shown.on_update(calling(self.update))
        self._root = client.scene.add_frame("/photographs", show_axes=False, visible=False)
        self._nodes: list[viser.CameraFrustumHandle] = []
        for index, (pose, (width, height)) in enumerate(
            zip(stage.photographs.world_from_camera, stage.photographs.sizes, strict=True)
        ):
            node = client.scene.add_camera_frustum(
                f"/photographs/{index}",
                field_of_view(stage, index),
                width / height,
                scale=SIZE,
                thickness=0.03 * SIZE,
                color=COLOR,
                wxyz=quaternion_from_matrix(pose[:, :3]).numpy(),
                position=pose[:, 3].numpy(),
            )
            node.on_click(calling(lambda index=index: jump(index)))
            self._nodes.append(node)

    def update(self) -> None:
        """Show them or not; not the one that the browser's camera stands in."""
        shown = bool(self._shown.value)
        if self._root.visible != shown:
            self._root.visible = shown
        if not shown:
            return
        away = np.linalg.norm(self._centres - np.asarray(self._client.camera.position), axis=-1)
        for node, far in zip(self._nodes, (away > NEAREST * SIZE).tolist(), strict=True):
            if node.visible != far:
                node.visible = far


def field_of_view(stage: Stage, index: int) -> float:
    """Of a photograph: vertical, in radians."""
    _, height = stage.photographs.sizes[index]
    return 2 * math.atan(height / (2 * float(stage.photographs.intrinsics[index, 1])))
