"""A place, a turn and a size as numbers in a panel, and as handles to drag in the page."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
import viser
from jaxtyping import Float
from torch import Tensor

from scenekit.core.transforms import Similarity, matrix_from_quaternion, quaternion_from_matrix
from scenekit.live.callbacks import calling

SMALLEST, LARGEST = 1e-3, 1e3  # of a scale


class Placing:
    """Controls of one thing's place in the page: about its origin, in its units."""

    def __init__(self, client: viser.ClientHandle, name: str, changed: Callable[[], None], *, scaled: bool) -> None:
        """``name`` is the path of the handles among the page's nodes; ``scaled`` asks for a size as well."""
        gui = client.gui
        self._changed = changed
        self._place = gui.add_vector3("move", (0.0, 0.0, 0.0), step=0.01)
        self._turn = gui.add_vector3("turn", (0.0, 0.0, 0.0), step=1.0, hint="degrees about x, then y, then z")
        self._scale = gui.add_number("scale", 1.0, min=SMALLEST, max=LARGEST, step=0.01, visible=scaled)
        self._handled = gui.add_checkbox("handles", False)
        self._handles = client.scene.add_transform_controls(name, scale=0.4, visible=False)
        for control in (self._place, self._turn, self._scale):
            control.on_update(calling(self._typed))
        self._handled.on_update(calling(self._show))
        self._handles.on_update(calling(self._dragged))

    def similarity(self) -> Similarity:
        """Where it is, from where it would be; identity for numbers that are none."""
        numbers = torch.tensor([*self._place.value, *self._turn.value, self._scale.value], dtype=torch.float64)
        if not bool(numbers.isfinite().all()):
            return Similarity.identity()
        scale = min(max(float(numbers[6]), SMALLEST), LARGEST)
        return Similarity(scale, rotation_of(numbers[3:6].deg2rad()), numbers[:3])

    def _typed(self) -> None:
        placed = self.similarity()
        where, turn = placed.translation.numpy(), quaternion_from_matrix(placed.rotation).numpy()
        # Numbers that follow the handles must not move them: the mouse is ahead of them.
        if np.abs(where - self._handles.position).max() > 1e-6 or abs(turn @ self._handles.wxyz) < 1 - 1e-9:
            self._handles.position, self._handles.wxyz = where, turn
        self._changed()

    def _dragged(self) -> None:
        turn = matrix_from_quaternion(torch.from_numpy(np.asarray(self._handles.wxyz, dtype=np.float64)))
        x, y, z = angles_of(turn).rad2deg().tolist()
        a, b, c = np.asarray(self._handles.position, dtype=np.float64).tolist()
        self._place.value, self._turn.value = (a, b, c), (x, y, z)
        self._changed()

    def _show(self) -> None:
        self._handles.visible = self._handled.value


def rotation_of(angles: Float[Tensor, "3"]) -> Float[Tensor, "3 3"]:
    """Turned about x, then y, then z, by angles in radians."""
    x, y, z = torch.eye(3, dtype=torch.float64)
    half = angles.double() / 2
    turns = [
        matrix_from_quaternion(torch.cat([half[i].cos()[None], half[i].sin() * axis]))
        for i, axis in enumerate((x, y, z))
    ]
    return turns[2] @ turns[1] @ turns[0]


def angles_of(turn: Float[Tensor, "3 3"]) -> Float[Tensor, "3"]:
    """Undo :func:`rotation_of`; where y is a right angle, z is 0."""
    level = math.hypot(float(turn[0, 0]), float(turn[1, 0]))
    y = math.atan2(-float(turn[2, 0]), level)
    if level > 1e-9:
        x, z = math.atan2(float(turn[2, 1]), float(turn[2, 2])), math.atan2(float(turn[1, 0]), float(turn[0, 0]))
    else:
        x, z = math.atan2(-float(turn[1, 2]), float(turn[1, 1])), 0.0
    return torch.tensor([x, y, z], dtype=torch.float64)
