"""How much a file lost: read back, rendered at the run's cameras and compared with the live scene, part by part."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from scenekit.core.cameras import Cameras
from scenekit.core.checks import BadInput
from scenekit.core.protocols import EVAL
from scenekit.core.transforms import Similarity
from scenekit.data import open_capture
from scenekit.renderers.scene import Scene
from scenekit.renderers.splats import SplatRenderer
from scenekit.representations.gaussian_cloud import GaussianCloud, model_of
from scenekit.training.evaluate import psnr, to_bytes
from scenekit.training.photographs import over

MOST_VIEWS = 12
# Where there are no photographs, a file's loss is judged as that of a scene this far from them: a good one.
USUAL_PSNR = 30.0
IDENTICAL = 1e-14  # mean squared error of what differs by rounding alone


@dataclass(frozen=True)
class Verification:
    """What a file shows of its scene.

    Attributes:
        psnr_lost: dB by which the file is further from the photographs than the live scene, mean over views.
            Without photographs: by which a scene at ``USUAL_PSNR`` from them falls when the file's error is added to
            its own, ``10 log10(1 + error / 10^(-USUAL_PSNR / 10))``.
        psnr_between: of the file's pictures against the live scene's, in dB, mean over views; None where they are
            the same.
        parts: dB lost were this part alone as the file has it; empty where the Gaussians cannot be matched.
        scope: what was compared, in words.
    """

    psnr_lost: float
    psnr_between: float | None
    parts: Mapping[str, float]
    scope: str

    def to_plain(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "psnr_lost": round(self.psnr_lost, 4),
            "psnr_between": None if self.psnr_between is None else round(self.psnr_between, 2),
            "psnr_lost_by_part": {name: round(value, 4) for name, value in self.parts.items()},
            "scope": self.scope,
        }


@dataclass(frozen=True)
class Views:
    """Cameras in ``world``, and the photographs they took where these are at hand."""

    cameras: Cameras
    photographs: tuple[UInt8[Tensor, "_H _W _C"], ...]
    scope: str


@dataclass(frozen=True)
class Compared:
    """Of a file's pictures: the mean squared error of each against the live scene's, and dB lost, mean over views."""

    errors: tuple[float, ...]
    lost: float

    @property
    def error(self) -> float:
        """Mean over views."""
        return sum(self.errors) / len(self.errors)


class Judge:
    """Compares what a file holds with the scene it was made of, as pictures; the scene's own are rendered once."""

    def __init__(self, scene: Scene, scene_from_file: Similarity) -> None:
        """Of the live ``scene``, whose frame is ``scene_from_file`` of the file's."""
        self.scene, self.scene_from_file = scene, scene_from_file
        self.views = views_of(scene)
        self.live = tuple(_pictures(scene, self.views))

    def compared(self, cloud: GaussianCloud) -> Compared:
        """What Gaussians in the frame of the file show; no more than one of their pictures is held at a time."""
        renderer = SplatRenderer(model_of(cloud.moved(self.scene_from_file)), antialiased=cloud.antialiased)
        found = replace(self.scene, renderer=renderer.to(self.scene.device))
        errors, lost = [], []
        for index, (picture, whole) in enumerate(zip(_pictures(found, self.views), self.live, strict=True)):
            errors.append(_error(picture, whole))
            lost.append(self._lost(index, picture, errors[-1]))
        return Compared(tuple(errors), sum(lost) / len(lost))

    def _lost(self, index: int, picture: Float[Tensor, "H W 3"], error: float) -> float:
        """dB by which a picture of one view, so far from the live scene's, is further from its photograph."""
        if not self.views.photographs:
            return 10 * math.log10(1 + error / 10 ** (-USUAL_PSNR / 10))
        camera = self.scene.cameras_in_scene(self.views.cameras[index])
        behind = self.scene.background.colors(camera, None, EVAL).detach().cpu()
        target = to_bytes(over(self.views.photographs[index].float() / 255, behind))
        return psnr(to_bytes(self.live[index]), target) - psnr(to_bytes(picture), target)


def verify(judge: Judge, wanted: GaussianCloud, found: GaussianCloud) -> Verification:
    """What was ``found`` in a file that was made of ``wanted``, both in its frame and in its order."""
    whole = judge.compared(found)
    between = None if max(whole.errors) < IDENTICAL else sum(map(_decibels, whole.errors)) / len(whole.errors)
    mixtures = _mixtures(wanted, found) if between is not None else ()
    parts = {name: judge.compared(mixed).lost for name, mixed in mixtures}
    return Verification(whole.lost, between, parts, judge.views.scope)


def views_of(scene: Scene) -> Views:
    """The held-out photographs (all, where none are) if the capture is still there, else the scene's own cameras."""
    source = scene.recipe.get("capture", {})
    if source and "imported" not in scene.recipe:
        try:
            capture = open_capture(source["path"], downscale=source["downscale"])
        except BadInput:
            pass  # the scope says that there were no photographs
        else:
            rows = _spread(capture.test or tuple(range(len(capture))))
            scope = f"{len(rows)} of {len(capture.test) or len(capture)} photographs of {capture.name}, 8-bit sRGB"
            return Views(capture.cameras[rows], tuple(capture.images[row] for row in rows), scope)
    rows = _spread(range(len(scene.cameras)))
    scope = (
        f"{len(rows)} of {len(scene.cameras)} cameras, without photographs: the loss of a scene {USUAL_PSNR:g} dB from "
        "its photographs; float colours over the scene's background"
    )
    return Views(scene.cameras[rows], (), scope)


def _spread(rows: Sequence[int]) -> list[int]:
    """At most ``MOST_VIEWS`` of them, from the first to the last."""
    count = min(MOST_VIEWS, len(rows))
    return [rows[round(index * (len(rows) - 1) / max(1, count - 1))] for index in range(count)]


def _pictures(scene: Scene, views: Views) -> Iterator[Float[Tensor, "_H _W 3"]]:
    """One view after another."""
    return (scene.render(views.cameras[index]).color[0] for index in range(len(views.cameras)))


def _mixtures(wanted: GaussianCloud, found: GaussianCloud) -> Iterator[tuple[str, GaussianCloud]]:
    """The scene as it is but for one part, which is as in the file."""
    if len(wanted) != len(found):
        return
    yield "positions", replace(wanted, means=found.means)
    yield "scales", replace(wanted, log_scales=found.log_scales)
    yield "rotations", replace(wanted, quaternions=found.quaternions)
    colors = torch.cat([found.harmonics[:, :1], wanted.harmonics[:, 1:]], 1)
    yield "colours and opacities", replace(wanted, harmonics=colors, opacity_logits=found.opacity_logits)
    if found.degree:
        rest = torch.cat([wanted.harmonics[:, :1], found.of_degree(wanted.degree).harmonics[:, 1:]], 1)
        kept = found.harmonics.shape[1]
        rest = torch.cat([rest[:, :kept], wanted.harmonics[:, kept:]], 1)
        yield "harmonics", replace(wanted, harmonics=rest)
    if found.degree < wanted.degree:
        yield "harmonics cut off", wanted.of_degree(found.degree)
    if found.antialiased != wanted.antialiased:
        yield "antialiasing", replace(wanted, antialiased=found.antialiased)


def _error(picture: Float[Tensor, "H W 3"], whole: Float[Tensor, "H W 3"]) -> float:
    return float((picture.double() - whole.double()).square().mean())


def _decibels(error: float) -> float:
    return -10 * math.log10(max(error, IDENTICAL))
