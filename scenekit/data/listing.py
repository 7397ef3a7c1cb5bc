"""What the files of a capture say before any pixel is read: every reader's answer."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from scenekit.core.bounds import Bounds
from scenekit.core.checks import BadInput
from scenekit.core.cloud import PointCloud
from scenekit.core.transforms import Similarity
from scenekit.data.decode import is_there
from scenekit.data.lens import Lens

LARGEST_SIDE = 1 << 20  # of a photograph, in pixels
LARGEST_ANGLE = 1e4  # of a focal length to a photograph's larger side, and back
FARTHEST = 1e15  # of a camera from the origin: float64 tells cameras no closer than this apart
# OpenGL's camera looks along -z with y up; OpenCV's along +z with y down.
OPENCV_FROM_OPENGL = torch.diag(torch.tensor([1.0, -1.0, -1.0], dtype=torch.float64))


@dataclass(frozen=True)
class Photograph:
    """One image of a capture: where it is, through which lens and from where it was taken.

    Attributes:
        name: unique in the capture; images are sorted by it.
        path: the image file.
        lens: for the image as it is stored.
        world_from_camera: OpenCV axes, float64.
        mask: image whose black pixels are not to be believed; None means ``masks/`` beside the capture is tried.
        depth: measured depth along z; None means ``depths/`` beside the capture is tried.
        depth_unit: world units for each unit of the depth file; millimetres to metres by default.
    """

    name: str
    path: Path
    lens: Lens
    world_from_camera: Float[Tensor, "3 4"]
    mask: Path | None = None
    depth: Path | None = None
    depth_unit: float = 1e-3


@dataclass(frozen=True)
class Split:
    """Names of the photographs to learn from and of those held out, where a capture says so itself."""

    train: frozenset[str]
    test: frozenset[str]


@dataclass(frozen=True)
class Listing:
    """A capture on disk, not yet loaded.

    Attributes:
        format: key of the reader in ``READERS``.
        root: the capture's folder.
        photographs: those whose file exists.
        listed: how many the capture names, absent ones included.
        split: the capture's own; None means every 8th image by sorted name is held out.
        points: in ``world``, if the capture has any.
        place: (scene_from_world, bounds) where the format fixes them; None means from cameras and points.
        background: what lies behind transparent pixels, if the format says so.
        notes: sentences the user should hear once.
    """

    format: str
    root: Path
    photographs: tuple[Photograph, ...]
    listed: int
    split: Split | None = None
    points: PointCloud | None = None
    place: tuple[Similarity, Bounds] | None = None
    background: tuple[float, float, float] | None = None
    notes: tuple[str, ...] = ()


def present(source: Path, photographs: list[Photograph]) -> tuple[tuple[Photograph, ...], tuple[str, ...]]:
    """Those whose image file exists, sorted by name, and what to say about the rest.

    Raises BadInput when none is left or none was listed, or where a lens or a name is none.
    """
    if not photographs:
        raise BadInput.of(
            source,
            wanted="at least two images",
            found="none listed",
            remedy="check that this is the right file",
        )
    there = tuple(sorted((p for p in photographs if is_there(p.path)), key=lambda p: p.name))
    for photograph in there:
        _check(source, photograph)
    absent = len(photographs) - len(there)
    if not there:
        raise BadInput.of(
            source,
            wanted=f"images such as {photographs[0].path}",
            found=f"none of the {len(photographs)} listed",
            remedy="put the images where the capture says they are",
        )
    notes = (f"{absent} of {len(photographs)} images listed in {source} are not there",) if absent else ()
    return there, notes


def _check(source: Path, photograph: Photograph) -> None:
    """Raise BadInput for a lens that casts no rays and a place that numbers cannot hold."""
    lens, remedy = photograph.lens, "correct its calibration or remove the image from the list"
    numbers = all(math.isfinite(value) for value in lens.parameters)
    if not numbers or not all(1 <= side <= LARGEST_SIDE for side in lens.size):
        found = "{}x{} and {}".format(*lens.size, lens.parameters)
        raise BadInput.of(
            source, wanted=f"a size and finite intrinsics of {photograph.name!r}", found=found, remedy=remedy
        )
    try:
        fx, fy, cx, cy = lens.intrinsics
    except (ValueError, KeyError, TypeError) as error:
        raise BadInput.of(
            source, wanted=f"a lens of {photograph.name!r}", found=" ".join(str(error).split()), remedy=remedy
        ) from None
    largest = LARGEST_ANGLE * max(lens.size)
    if not (largest > min(fx, fy) >= 1 / LARGEST_ANGLE and max(fx, fy, abs(cx), abs(cy)) < largest):
        found = f"focal lengths {fx:g}, {fy:g} and centre {cx:g}, {cy:g} of {lens.size[0]}x{lens.size[1]} pixels"
        raise BadInput.of(source, wanted=f"intrinsics of {photograph.name!r} within reason", found=found, remedy=remedy)
    if not photograph.world_from_camera.abs().max() < FARTHEST:
        found = f"{photograph.world_from_camera[:, 3].tolist()}"
        raise BadInput.of(
            source, wanted=f"a place of {photograph.name!r} within {FARTHEST:g}", found=found, remedy=remedy
        )


def rigid_pose(source: Path, name: str, matrix: object) -> Float[Tensor, "3 4"]:
    """A pose as a file gave it, with its rotation made exact.

    A uniform or per-axis scale of the camera's axes is dropped. Raises BadInput for a pose that is no 3x4 or
    4x4 matrix, not finite, singular, mirrored or sheared.
    """
    try:
        pose = torch.tensor(matrix, dtype=torch.float64)
    except (TypeError, ValueError, OverflowError, RuntimeError):
        pose = torch.zeros(0)
    remedy = "remove that image from the list or estimate its pose again"
    if pose.shape not in ((3, 4), (4, 4)):
        raise BadInput.of(source, wanted=f"a 4x4 pose for {name}", found=f"shape {list(pose.shape)}", remedy=remedy)
    pose = pose[:3]
    if not bool(pose.isfinite().all()):
        raise BadInput.of(source, wanted=f"a finite pose for {name}", found="NaN or infinity", remedy=remedy)
    axes = pose[:, :3]
    lengths = axes.norm(dim=0)
    determinant = float(torch.linalg.det(axes / lengths.clamp(min=1e-12)))
    if float(lengths.min()) < 1e-9 or determinant < 0.9:
        raise BadInput.of(
            source,
            wanted=f"a rotation in the pose of {name}",
            found=f"a {'mirrored' if determinant < -0.9 else 'singular or sheared'} matrix",
            remedy=remedy,
        )
    left, _, right = torch.linalg.svd(axes / lengths)
    return torch.cat([left @ right, pose[:, 3:]], -1)
