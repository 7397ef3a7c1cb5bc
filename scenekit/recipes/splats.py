"""Gaussians: rasterized, fitted on whole photographs, one a step or several."""

from __future__ import annotations

import torch

from scenekit.core.checks import BadInput
from scenekit.core.context import Share
from scenekit.core.rows import Dealt
from scenekit.recipes.configs import SplatFitting
from scenekit.recipes.device import fed
from scenekit.recipes.family import Family, Manner, Parts, Surroundings
from scenekit.renderers.splats import SplatRenderer
from scenekit.representations.gaussians import GaussianModel, Gaussians
from scenekit.training.batches import ImageBatches, Views
from scenekit.training.capture import rebuilt
from scenekit.training.controllers import DENSIFICATION
from scenekit.training.controllers.square import arrange
from scenekit.training.divided import Division, paths_by_row
from scenekit.training.losses import l1_dssim

PROBE_IMAGES = 3


def _build(representation: Gaussians, fitting: SplatFitting, around: Surroundings) -> SplatRenderer[GaussianModel]:
    model = representation.build(around.points, around.bounds, around.cameras, around.generator)
    if around.share.of > 1:
        _deal(model, around.share)
    return SplatRenderer(model, antialiased=representation.antialiased)


def _deal(model: GaussianModel, share: Share) -> None:
    """Keep this process's Gaussians alone."""
    if model.config.compact:
        raise BadInput.of("--processes", wanted="one with --compact, whose square is sorted as a whole",
                          found=str(share.of), remedy="leave one of the two away")  # fmt: skip
    rows = Dealt(share, len(model))
    for parameter in model.parameters():
        parameter.data = rows.own(parameter.data)
    model.rows = rows


def _division(renderer: SplatRenderer[GaussianModel], manner: Manner) -> Division | None:
    model = renderer.primitives
    if not isinstance(model.rows, Dealt):
        return None
    return Division(model.rows, model, paths_by_row(renderer, model, manner.controllers))


def _manner(renderer: SplatRenderer[GaussianModel], representation: Gaussians, fitting: SplatFitting) -> Manner:
    coarse = ((fitting.coarse_until, fitting.coarse_factor),) if fitting.coarse_until > 0 else ()
    if representation.compact:
        arrange(renderer.primitives, torch.Generator().manual_seed(0))
    controllers = DENSIFICATION[representation.densification](renderer.primitives)
    if fitting.batch_photographs < 1:
        raise BadInput.of("--batch-photographs", wanted="1 or more", found=str(fitting.batch_photographs),
                          remedy="choose a number of photographs a step")  # fmt: skip
    return Manner(l1_dssim(fitting.ssim_weight), controllers, photographs=fitting.batch_photographs, coarse=coarse)


def _parts(
    renderer: SplatRenderer[GaussianModel], representation: Gaussians, fitting: SplatFitting, views: Views
) -> Parts:
    manner = _manner(renderer, representation, fitting)
    batches = ImageBatches(views, manner.coarse, manner.photographs)
    spread = range(0, len(views.images), max(1, len(views.images) // PROBE_IMAGES))
    renderer.depth_in_training = views.depths is not None or views.normals is not None
    device = renderer.primitives.means.device
    watched = [batches.of([index]) for index in list(spread)[:PROBE_IMAGES]]
    probe = [rebuilt(batch, lambda x: x.to(device)) for batch in watched]
    return Parts(manner, fed(batches, device), probe, _division(renderer, manner))


FAMILY = Family(SplatFitting, needs_points=True, background="given", build=_build, manner=_manner, parts=_parts)
