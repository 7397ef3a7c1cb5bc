"""Which corrections a training gets: flags, and what the capture offers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from scenekit.core.cameras import Cameras
from scenekit.core.checks import BadInput
from scenekit.core.protocols import Batching, Correction
from scenekit.data import Capture
from scenekit.data.store import Images, StoredImages
from scenekit.data.store import chosen as chosen_images
from scenekit.training.batches import Views
from scenekit.training.corrections import BilateralGrids, DepthPrior, Exposures, Intrinsics, NormalPrior, Poses


@dataclass(frozen=True)
class Supervision:
    """What is learnt or measured beside the colours; the same for every representation.

    Attributes:
        refine_poses: learn a small turn and shift of every photograph's camera.
        refine_intrinsics: learn one focal length and principal point.
        appearance: learn each photograph's exposure, or a bilateral grid of its tone.
        reference: photograph whose appearance the scene keeps; the mean of all where empty.
        masks: leave out pixels that the capture's masks mark black.
        alpha: what transparent pixels are: empty space, or a mask.
        depth_weight: of measured depth; 0 ignores it.
        depth: measured depth is in world units, or known up to a scale and a shift for every photograph.
        normal_weight: of measured normals; 0 ignores them.
    """

    refine_poses: bool = False
    refine_intrinsics: bool = False
    appearance: Literal["none", "exposure", "bilateral"] = "none"
    reference: str = ""
    masks: bool = True
    alpha: Literal["space", "mask"] = "space"
    depth_weight: float = 0.0
    depth: Literal["metric", "invariant"] = "metric"
    normal_weight: float = 0.0


def _chosen_images(capture: Capture, supervision: Supervision) -> Images:
    """Of the training photographs. Raises BadInput where they must be in memory and are not."""
    images = chosen_images(capture.images, capture.train)
    if isinstance(images, StoredImages) and supervision.alpha == "mask" and capture.has_alpha:
        raise BadInput.of(capture.name, wanted="all photographs in memory for --alpha mask", found="more than fit",
                          remedy="raise --cache, or shrink them with --downscale")  # fmt: skip
    return images


def cameras_of(capture: Capture) -> Cameras:
    """Those of the training photographs, in ``scene``."""
    return capture.cameras.moved(capture.scene_from_world).to(dtype=torch.float32)[capture.train]


def views_of(capture: Capture, supervision: Supervision) -> Views:
    """Training photographs in ``scene``, with what the supervision wants of their companions.

    Raises BadInput where it wants what the capture does not have, or depth that cannot be in world units.
    """
    if supervision.appearance != "none":
        _reference(capture, supervision.reference)
    chosen = capture.train
    frame = capture.scene_from_world
    images, masks = _chosen_images(capture, supervision), None
    if supervision.masks and capture.masks is not None:
        masks = tuple(capture.masks[i] for i in chosen)
    if supervision.alpha == "mask" and capture.has_alpha:
        opaque = tuple(image[..., 3] > 127 if image.shape[-1] == 4 else _all(image) for image in images)
        masks = opaque if masks is None else tuple(a & b for a, b in zip(masks, opaque, strict=True))
        images = tuple(image[..., :3].contiguous() for image in images)
    depths = normals = None
    if supervision.depth_weight > 0:
        measured = _present(capture, "depths", "--depth-weight", capture.depths)
        depths = tuple(measured[i] * frame.scale for i in chosen)
        if supervision.depth == "metric":
            _check_units(capture, depths)
    if supervision.normal_weight > 0:
        measured = _present(capture, "normals", "--normal-weight", capture.normals)
        normals = tuple(measured[i] @ frame.rotation.float().T for i in chosen)
    return Views(cameras_of(capture), images, masks, depths, normals)


# A photograph's pose moves in every step of a field, but only in those steps of splats that show it.
POSE_RATES: dict[Batching, float] = {"pixels": 1e-3, "images": 4e-3}
# Poses that agree with points need little more, and a high rate would shake them: 0.24 degrees on fox, 0.4 dB.
SETTLED_RATE = 1e-3


def corrections_of(
    capture: Capture,
    supervision: Supervision,
    batching: Batching,
    device: torch.device | None = None,
    *,
    settled: bool = False,
) -> list[Correction]:
    """In the order in which they act, for a renderer that is trained on single pixels or on whole images.

    ``settled`` poses were found to agree with points, or were adjusted until they did.
    """
    count = len(capture)
    chosen: list[Poses | Intrinsics | Exposures | BilateralGrids | DepthPrior | NormalPrior] = []
    if supervision.refine_poses:
        chosen.append(Poses(count, SETTLED_RATE if settled else POSE_RATES[batching]))
    if supervision.refine_intrinsics:
        chosen.append(Intrinsics())
    if supervision.appearance != "none":
        reference = _reference(capture, supervision.reference)
        learnt = {"exposure": lambda: Exposures(count, tuple(capture.train), reference),
                  "bilateral": lambda: BilateralGrids(count, reference)}  # fmt: skip
        chosen.append(learnt[supervision.appearance]())
    if supervision.depth_weight > 0:
        chosen.append(DepthPrior(count, supervision.depth_weight, invariant=supervision.depth == "invariant"))
    if supervision.normal_weight > 0:
        chosen.append(NormalPrior(supervision.normal_weight))
    return [each.to(device) for each in chosen]


def _all(image: Tensor) -> Tensor:
    return torch.ones(image.shape[:2], dtype=torch.bool)


def _present(capture: Capture, what: str, flag: str, found: tuple[Tensor, ...] | None) -> tuple[Tensor, ...]:
    if found is None:
        raise BadInput.of(capture.name, wanted=f"measured {what} for {flag}", found="none",
                          remedy=f"put them into {what}/ beside the images, or leave {flag} out")  # fmt: skip
    return found


def _reference(capture: Capture, name: str) -> int | None:
    if not name:
        return None
    found = [i for i in capture.train if capture.names[i] == name or capture.names[i].rsplit("/", 1)[-1] == name]
    if not found:
        raise BadInput.of("--reference", wanted="the name of a training photograph", found=name,
                          remedy=f"choose one such as {capture.names[capture.train[0]]}")  # fmt: skip
    return found[0]


LEAST, MOST = 0.02, 50.0  # of what the scene's size lets one expect: beyond lies another unit


def _check_units(capture: Capture, depths: tuple[Tensor, ...]) -> None:
    """The middle measured depth must be of the order of the distances in the scene."""
    measured = torch.cat([depth[depth > 0] for depth in depths])
    if not len(measured):
        raise BadInput.of(capture.name, wanted="measured depth in training photographs", found="only zeros",
                          remedy="leave --depth-weight out")  # fmt: skip
    middle = float(measured.median()) / capture.scene_from_world.scale
    expected = _expected_distance(capture)
    if not LEAST < middle / expected < MOST:
        raise BadInput.of(
            capture.name,
            wanted=f"depth in world units, about {expected:.3g} where the cameras look",
            found=f"a median of {middle:.3g}",
            remedy="correct the depth unit, or use --depth invariant",
        )


def _expected_distance(capture: Capture) -> float:
    """From the cameras to the middle of the points, else of the scene, in world units."""
    centres = capture.cameras.centres[list(capture.train)]
    if capture.points is not None and len(capture.points):
        middle = capture.points.positions.double().median(0).values
    else:
        middle = capture.scene_from_world.inverse().points(torch.zeros(3, dtype=torch.float64))
    return float((centres - middle).norm(dim=-1).median().clamp(min=1e-9))
