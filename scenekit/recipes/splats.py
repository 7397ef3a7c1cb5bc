"""Gaussians: rasterized, fitted on one whole photograph a step."""

from __future__ import annotations

import torch

from scenekit.recipes.configs import SplatFitting
from scenekit.recipes.family import Family, Parts, Surroundings
from scenekit.renderers.splats import SplatRenderer
from scenekit.representations.gaussians import GaussianModel, Gaussians
from scenekit.training.batches import ImageBatches, Views
from scenekit.training.controllers import DENSIFICATION
from scenekit.training.controllers.square import arrange
from scenekit.training.losses import l1_dssim

PROBE_IMAGES = 3


def _build(representation: Gaussians, fitting: SplatFitting, around: Surroundings) -> SplatRenderer[GaussianModel]:
    model = representation.build(around.points, around.bounds, around.cameras, around.generator)
    return SplatRenderer(model, antialiased=representation.antialiased)


def _parts(
    renderer: SplatRenderer[GaussianModel], representation: Gaussians, fitting: SplatFitting, views: Views
) -> Parts:
    coarse = ((fitting.coarse_until, fitting.coarse_factor),) if fitting.coarse_until > 0 else ()
    batches = ImageBatches(views, coarse)
    spread = range(0, len(views.images), max(1, len(views.images) // PROBE_IMAGES))
    probe = [batches.image(index) for index in list(spread)[:PROBE_IMAGES]]
    renderer.depth_in_training = views.depths is not None or views.normals is not None
    if representation.compact:
        arrange(renderer.primitives, torch.Generator().manual_seed(0))
    controllers = DENSIFICATION[representation.densification](renderer.primitives)
    return Parts(batches, l1_dssim(fitting.ssim_weight), controllers, None, probe)


FAMILY = Family(SplatFitting, needs_points=True, background="given", build=_build, parts=_parts)
