"""What joins a family of representations to training: one value per key of ``RENDERERS``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import torch

from scenekit.core.bounds import Bounds
from scenekit.core.cameras import Cameras
from scenekit.core.cloud import PointCloud
from scenekit.core.context import WHOLE, Share
from scenekit.core.protocols import Batch, Controller, Renderer
from scenekit.training.averages import Averages
from scenekit.training.batches import Batches, Views
from scenekit.training.divided import Division
from scenekit.training.losses import Loss

Config = TypeVar("Config")
FamilyFitting = TypeVar("FamilyFitting")
SomeRenderer = TypeVar("SomeRenderer", bound=Renderer)


@dataclass(frozen=True)
class Surroundings:
    """What a representation is built into: bounds, training cameras in ``scene``, and points if there are any.

    ``share`` says whether several processes will train it.
    """

    bounds: Bounds
    cameras: Cameras
    points: PointCloud | None = None
    generator: torch.Generator | None = None
    share: Share = WHOLE


@dataclass
class Manner:
    """How a family learns, whatever it learns from.

    Attributes:
        loss: over predicted and wanted colours.
        controllers: what acts between steps.
        averages: of the parameters, if they are kept.
        samples: that a step may cost, where batches are pixels.
        photographs: that a step sees, where batches are whole ones.
        coarse: (until which progress, reduction) of these.
    """

    loss: Loss
    controllers: list[Controller] = field(default_factory=list)
    averages: Averages | None = None
    samples: int = 0
    photographs: int = 1
    coarse: tuple[tuple[float, int], ...] = ()


@dataclass
class Parts:
    """What differs in training between families; the trainer itself knows only the protocols.

    ``division`` is of what several processes do not each hold.
    """

    manner: Manner
    batches: Batches
    probe: list[Batch] = field(default_factory=list)
    division: Division | None = None


@dataclass(frozen=True)
class Family(Generic[Config, FamilyFitting, SomeRenderer]):
    """How a family is built and fitted.

    Attributes:
        fitting: type of the options that all members share.
        needs_points: whether a capture without points is triangulated first.
        background: kind of background for photographs without alpha.
        build: config, fitting and surroundings to a renderer.
        manner: renderer, config and fitting to how it learns.
        parts: renderer, config, fitting and views to what training needs.
    """

    fitting: type[FamilyFitting]
    needs_points: bool
    background: str
    build: Callable[[Config, FamilyFitting, Surroundings], SomeRenderer]
    manner: Callable[[SomeRenderer, Config, FamilyFitting], Manner]
    parts: Callable[[SomeRenderer, Config, FamilyFitting, Views], Parts]


AnyFamily = Family[Any, Any, Any]  # which family it is, a recipe says when the program runs
