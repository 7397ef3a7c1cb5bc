"""Fewer Gaussians for the least harm to pictures: those that add least to them go."""

from __future__ import annotations

import torch

from scenekit.assets.edits.edit import Subject
from scenekit.core.checks import BadInput
from scenekit.core.protocols import Splats
from scenekit.renderers.contributions import contributions
from scenekit.representations.gaussian_cloud import GaussianCloud

VIEWS = 48  # looked at, at most
SIZE = 400  # pixels, of their longer sides at most


def within_budget(subject: Subject, count: int) -> Subject:
    """The ``count`` Gaussians with the largest sums of blending weights over the subject's cameras, in their order."""
    cloud = subject.cloud
    if len(cloud) <= count:
        return subject
    importance = _importance(subject)
    kept = importance.argsort(descending=True, stable=True)[:count].sort().values
    return subject.with_cloud(cloud[kept])


def _importance(subject: Subject) -> torch.Tensor:
    if subject.cameras is None or subject.scene_from_world is None or len(subject.cameras) == 0:
        raise BadInput.of("--budget", wanted="cameras to look from", found="none", remedy="edit a run or a file")
    step = max(1, len(subject.cameras) // VIEWS)
    cameras = subject.cameras[::step]
    shrink = [min(1.0, SIZE / max(size)) for size in cameras.sizes]
    sizes = [(max(1, round(w * s)), max(1, round(h * s))) for (w, h), s in zip(cameras.sizes, shrink, strict=True)]
    inside = cameras.resized(sizes).moved(subject.scene_from_world).to(dtype=torch.float32)
    placed = subject.cloud.moved(subject.scene_from_world)
    return contributions(as_splats(placed), inside, antialiased=placed.antialiased)


def as_splats(cloud: GaussianCloud) -> Splats:
    """Activated, as a rasterizer takes them."""
    return Splats(
        cloud.means,
        cloud.quaternions,
        cloud.log_scales.exp(),
        cloud.opacity_logits.sigmoid(),
        cloud.harmonics[:, :1],
        cloud.harmonics[:, 1:],
        min(3, cloud.degree),
    )
