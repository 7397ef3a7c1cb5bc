"""Fields: marched and composited, fitted on random pixels of all photographs."""

from __future__ import annotations

from typing import Any

import torch

from scenekit.core.protocols import Batch, Context, Scheduled
from scenekit.recipes.configs import VolumeFitting
from scenekit.recipes.device import fed
from scenekit.recipes.family import Family, Manner, Parts, Surroundings
from scenekit.renderers.volume import VolumeRenderer
from scenekit.training.averages import Averages
from scenekit.training.batches import PixelBatches, Views
from scenekit.training.capture import rebuilt
from scenekit.training.controllers.occupancy import OccupancyUpdates
from scenekit.training.losses import huber
from scenekit.training.streaming import StreamedPixels, pixel_batches

PROBE_PIXELS = 8192


def _build(representation: Any, fitting: VolumeFitting, around: Surroundings) -> VolumeRenderer:
    return VolumeRenderer(representation.build(around.bounds, around.generator), fitting.marching)


def _manner(renderer: VolumeRenderer, representation: Any, fitting: VolumeFitting) -> Manner:
    renderer.room = fitting.batch_samples if renderer.occupancy.occupied.is_cuda else None
    updates = OccupancyUpdates(renderer, interval=fitting.occupancy_interval, cells=fitting.occupancy_cells)
    averages = Averages(renderer.parameter_groups(), fitting.average) if fitting.average > 0 else None
    own = renderer.field.controllers() if isinstance(renderer.field, Scheduled) else []
    return Manner(huber, [*own, updates], averages, samples=fitting.batch_samples)


def _parts(renderer: VolumeRenderer, representation: Any, fitting: VolumeFitting, views: Views) -> Parts:
    device = renderer.occupancy.occupied.device
    renderer.occupancy.forget_unseen(views.cameras.to(device))
    batches = pixel_batches(views, fitting.batch_samples, by_sizes=device.type == "cuda")
    probe = rebuilt(_probe(batches), lambda tensor: tensor.to(device))
    return Parts(_manner(renderer, representation, fitting), fed(batches, device), [probe])


def _probe(batches: PixelBatches | StreamedPixels) -> Batch:
    """The same pixels whatever the seed of training is."""
    return batches.of(PROBE_PIXELS, Context(generator=torch.Generator(batches.device).manual_seed(0)))


FAMILY = Family(VolumeFitting, needs_points=False, background="random", build=_build, manner=_manner, parts=_parts)
