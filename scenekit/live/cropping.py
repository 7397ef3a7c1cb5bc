"""The box that a browser crops the scene to."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
import viser
from jaxtyping import Float
from torch import Tensor

from scenekit.core.transforms import Similarity, quaternion_from_matrix
from scenekit.live.callbacks import calling
from scenekit.live.placing import Placing
from scenekit.live.stage import Stage

USUAL_SIDE = 1.0  # of the box, in the page's units: the photographs' distance


class Cropping:
    """Controls of the box; about the focus, in the page's units."""

    def __init__(self, client: viser.ClientHandle, stage: Stage, changed: Callable[[], None]) -> None:
        gui = client.gui
        self._stage = stage
        self._changed = changed
        with gui.add_folder("crop", expand_by_default=False):
            self._on = gui.add_checkbox("crop", False)
            self._size = gui.add_vector3("size", np.full(3, USUAL_SIDE), min=np.full(3, 1e-3), step=0.01)
            self._placing = Placing(client, "/crop/handles", self._update, scaled=False)
            self._seen = gui.add_checkbox("outline", True)
        self._box = client.scene.add_box("/crop/box", (240, 180, 40), (1.0, 1.0, 1.0), wireframe=True, visible=False)
        for control in (self._on, self._size, self._seen):
            control.on_update(calling(self._update))

    def crop(self) -> Float[Tensor, "3 4"] | None:
        """See :class:`~scenekit.live.look.Look`."""
        if not self._on.value:
            return None
        half = self._half()
        box_from_world = self._placing.similarity().inverse().after(self._stage.page_from_world)
        return box_of(box_from_world, half)

    def _half(self) -> Float[Tensor, "3"]:
        return torch.tensor(self._size.value, dtype=torch.float64).nan_to_num(nan=USUAL_SIDE).clamp(min=1e-3) / 2

    def _update(self) -> None:
        placed = self._placing.similarity()
        self._box.position = placed.translation.numpy()
        self._box.wxyz = quaternion_from_matrix(placed.rotation).numpy()
        a, b, c = (2 * self._half()).tolist()
        self._box.dimensions = (a, b, c)
        self._box.visible = bool(self._on.value and self._seen.value)
        self._changed()


def box_of(box_from_world: Similarity, half: Float[Tensor, "3"]) -> Float[Tensor, "3 4"]:
    """Takes ``world`` to [-1, 1]^3 of a box with these half sides about the origin of ``box``."""
    matrix = torch.cat([box_from_world.scale * box_from_world.rotation, box_from_world.translation[:, None]], -1)
    return matrix / half[:, None]
