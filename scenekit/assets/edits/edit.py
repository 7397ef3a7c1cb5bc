"""What an edit is: one value with a function from Gaussians to Gaussians."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from jaxtyping import Float
from torch import Tensor

from scenekit.core.cameras import Cameras
from scenekit.core.checks import BadInput
from scenekit.core.transforms import Similarity
from scenekit.representations.gaussian_cloud import GaussianCloud


@dataclass(frozen=True)
class Subject:
    """What is edited.

    Attributes:
        cloud: in ``world``.
        cameras: from which it is looked at, in ``world``; they move with it. None while a file is streamed.
        scene_from_world: the frame in which it is rendered.
    """

    cloud: GaussianCloud
    cameras: Cameras | None = None
    scene_from_world: Similarity | None = None

    def with_cloud(self, cloud: GaussianCloud) -> Subject:
        """Other Gaussians in the same place."""
        return replace(self, cloud=cloud)

    def moved(self, b_from_a: Similarity) -> Subject:
        """Everything moved in ``world``: what is rendered stays as it is."""
        back = b_from_a.inverse()
        frame = None if self.scene_from_world is None else self.scene_from_world.after(back)
        return Subject(
            self.cloud.moved(b_from_a), None if self.cameras is None else self.cameras.moved(b_from_a), frame
        )


@dataclass(frozen=True)
class Edit:
    """One change.

    Attributes:
        text: as the user wrote it.
        apply: the change.
        row_wise: every Gaussian is judged by itself, so that a file may be edited a block at a time.
        added: the file whose Gaussians follow, if there is one.
        degree: to which the harmonics are cut, if they are.
        box: lower and upper corner of what stays, if it is a box: fields can be cropped to one too.
    """

    text: str
    apply: Callable[[Subject], Subject]
    row_wise: bool = True
    added: Path | None = None
    degree: int | None = None
    box: tuple[Float[Tensor, "3"], Float[Tensor, "3"]] | None = None


def other_kind(file: str | Path) -> BadInput:
    """Gaussians of ``file`` cannot stand among these."""
    return BadInput.of(file, wanted="Gaussians antialiased like the others", found="another kind",
                       remedy="train both alike")  # fmt: skip
