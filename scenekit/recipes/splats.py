"""Gaussians: rasterized, fitted on one whole photograph a step."""

from __future__ import annotations

import torch

from scenekit.recipes.configs import SplatFitting
from scenekit.recipes.device import fed
from scenekit.recipes.family import Family, Manner, Parts, Surroundings
from scenekit.renderers.splats import SplatRenderer
from scenekit.representations.gaussians import GaussianModel, Gaussians
from scenekit.training.batches import ImageBatches, Views
from scenekit.training.capture import rebuilt
from scenekit.training.controllers import DENSIFICATION
from scenekit.training.controllers.square import arrange
from scenekit.training.losses import l1_dssim

PROBE_IMAGES = 3


def _build(representation: Gaussians, fitting: SplatFitting, around: Surroundings) -> SplatRenderer[GaussianModel]:
    model = representation.build(around.points, around.bounds, around.cameras, around.generator)
    return SplatRenderer(model, antialiased=representation.antialiased)


def _manner(renderer: SplatRenderer[GaussianModel], representation: Gaussians, fitting: SplatFitting) -> Manner:
    coarse = ((fitting.coarse_until, fitting.coarse_factor),) if fitting.coarse_until > 0 else ()
    if representation.compact:
        arrange(renderer.primitives, torch.Generator().manual_seed(0))
    controllers = DENSIFICATION[representation.densification](renderer.primitives)
    return Manner(l1_dssim(fitting.ssim_weight), controllers, coarse=coarse)


def _parts(
    renderer: SplatRenderer[GaussianModel], representation: Gaussians, fitting: SplatFitting, views: Views
) -> Parts:
    manner = _manner(renderer, representation, fitting)
    batches = ImageBatches(views, manner.coarse)
    spread = range(0, len(views.images), max(1, len(views.images) // PROBE_IMAGES))
    renderer.depth_in_training = views.depths is not None or views.normals is not None
    device = renderer.primitives.means.device
    watched = [batches.image(index) for index in list(spread)[:PROBE_IMAGES]]
    return Parts(manner, fed(batches, device), [rebuilt(batch, lambda x: x.to(device)) for batch in watched])


FAMILY = Family(SplatFitting, needs_points=True, background="given", build=_build, manner=_manner, parts=_parts)
