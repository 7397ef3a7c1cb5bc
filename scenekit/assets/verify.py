"""How much a file lost: read back, rendered at the run's cameras and compared with the live scene, part by part."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from scenekit.core.transforms import Similarity
from scenekit.renderers.scene import Scene
from scenekit.renderers.splats import SplatRenderer
from scenekit.representations.gaussian_cloud import GaussianCloud, model_of

MOST_VIEWS = 12
# A file's loss is judged as that of a scene this far from its photographs: a good one on views it has not seen.
USUAL_PSNR = 30.0
IDENTICAL = 1e-14  # mean squared error of what differs by rounding alone


@dataclass(frozen=True)
class Verification:
    """What a file shows of its scene.

    Attributes:
        psnr_lost: dB by which a scene at ``USUAL_PSNR`` from its photographs falls when the file's error is added
            to its own, mean over views: ``10 log10(1 + error / 10^(-USUAL_PSNR / 10))``.
        psnr_between: of the file's pictures against the live scene's, in dB, mean over views; None where they are
            the same.
        parts: dB lost were this part alone as the file has it; empty where the Gaussians cannot be matched.
        views: how many of how many cameras were compared.
    """

    psnr_lost: float
    psnr_between: float | None
    parts: Mapping[str, float]
    views: tuple[int, int]

    def to_plain(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "psnr_lost": round(self.psnr_lost, 4),
            "psnr_between": None if self.psnr_between is None else round(self.psnr_between, 2),
            "psnr_lost_by_part": {name: round(value, 4) for name, value in self.parts.items()},
            "scope": (
                f"{self.views[0]} of {self.views[1]} cameras at their own sizes; float colours over the scene's "
                f"background; loss of a scene {USUAL_PSNR:g} dB from its photographs"
            ),
        }


def verify(scene: Scene, wanted: GaussianCloud, found: GaussianCloud, scene_from_file: Similarity) -> Verification:
    """Compare what a file holds with what it was made of, as pictures.

    Args:
        scene: the live one.
        wanted: its Gaussians in the file's frame, in the file's order.
        found: read back from the file.
        scene_from_file: frame of ``scene`` from the file's.
    """
    count = len(scene.cameras)
    chosen = sorted(
        {round(index * (count - 1) / max(1, MOST_VIEWS - 1)) for index in range(MOST_VIEWS)} & {*range(count)}
    )
    wholes = [scene.render(scene.cameras[index]).color[0] for index in chosen]

    def losses(cloud: GaussianCloud) -> list[float]:
        shown = replace(scene, renderer=_renderer(cloud.moved(scene_from_file)))
        pairs = zip(chosen, wholes, strict=True)
        return [_error(shown.render(scene.cameras[index]).color[0], whole) for index, whole in pairs]

    errors = losses(found)
    between = None if max(errors) < IDENTICAL else sum(map(_decibels, errors)) / len(errors)
    parts = {name: _lost(losses(mixed)) for name, mixed in _mixtures(wanted, found)} if between is not None else {}
    return Verification(_lost(errors), between, parts, (len(chosen), count))


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


def _renderer(cloud: GaussianCloud) -> SplatRenderer[Any]:
    return SplatRenderer(model_of(cloud), antialiased=cloud.antialiased)


def _error(picture: Float[Tensor, "H W 3"], whole: Float[Tensor, "H W 3"]) -> float:
    return float((picture.double() - whole.double()).square().mean())


def _decibels(error: float) -> float:
    return -10 * math.log10(max(error, IDENTICAL))


def _lost(errors: list[float]) -> float:
    usual = 10 ** (-USUAL_PSNR / 10)
    return sum(10 * math.log10(1 + error / usual) for error in errors) / len(errors)
