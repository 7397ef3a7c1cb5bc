"""Which stages a conversion has: read off what teacher and student can do, never off what they are.

Two fields answer at points first: the features that feed the colour (only where both make the same colours of them),
then density and colour; then whatever both can do, rendering (Progressive Volume Distillation, section 3). Anything
else learns by rendering alone. Splats have no density of their own, and asking a mixture of them at points costs twenty
times what a step of rendering does.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch

from scenekit.core.protocols import Medium, Renderer
from scenekit.core.rays import Samples
from scenekit.renderers.scene import home_of
from scenekit.renderers.volume import VolumeRenderer

FEATURES, POINTS, RENDERING = "features", "points", "rendering"


@dataclass(frozen=True)
class Active:
    """What is looked at again where the student is wrong (PVD-AL's three levels).

    Attributes:
        poses: the hardest poses come again, perturbed; else random ones come, which splats learnt more from: on lego
            1.2 dB after 4,000 steps at 100x100, 1.6 dB after 20 s at 800x800.
        rays: the hardest rays come again.
        points: while rendering, only the points that make the picture are matched; else all that light reaches. To
            find them takes a fifth of a step: an MLP from a hash grid, lego 800x800, 20 s of an H200, 30.52 dB with
            hard rays alone, 30.33 with such points alone, 30.47 with neither.
    """

    poses: bool = False
    rays: bool = True
    points: bool = False


@dataclass(frozen=True)
class Distilling:
    """How a teacher is asked.

    Attributes:
        features_until: progress until which features are matched, where they can be.
        points_until: progress until which densities and colours are matched at points alone, where they can be.
        stage_steps: of either stage at most, whatever the progress; what follows needs the time. From a hash grid, lego
            800x800, 20 s of an H200, low_rank came to 34.09 dB where these stages had 360 steps, and to 33.93 where
            they had 1,500; simplex_grid to 34.22 with 940 and 34.14 with 4,200.
        bright: weight of a sample, for a teacher that shares samples, from which on it is always compared once colours
            are; of darker ones some are, for as many rays as all of the bright ones leave room for. 0 compares all.
            From a hash grid, lego 800x800, 20 s of an H200, about three times the rays a step in 1.2 to 1.4 times the
            step's time: with 0.03, simplex_grid 34.32 dB (34.24 with all); worse for what is quickly asked
            (``configs/gpu.toml``).
        density_floor: natural logarithm of the density below which both count as empty; -100 keeps erased regions
            erased.
        density_ceiling: above which both count as opaque.
        views: poses that are looked from at a time; where not given, all of the run's own, as far as there are room
            and time for their pictures, and no less than 64 of all kinds.
        surface_points: points on the teacher's surfaces that splats start from; where not given, 120,000 on a GPU
            (lego 800x800, 20 s of an H200: 34.48 dB, 34.20 from 60,000, 33.87 from 20,000), and 20,000 on a CPU,
            where a step takes as long as its splats.
        depth_weight: of the relative error of the depth, where the student renders it.
        active: what is looked at again.
    """

    features_until: float = 0.15
    points_until: float = 0.25
    stage_steps: int = 400
    bright: float = 0.01
    density_floor: float = -2.0
    density_ceiling: float = 7.0
    views: int | None = None
    surface_points: int | None = None
    depth_weight: float = 0.01
    active: Active = field(default_factory=Active)


@dataclass(frozen=True)
class Stage:
    """A name, the progress at which it ends, and the most steps that it has; None for any number."""

    name: str
    until: float
    steps: int | None = None


@dataclass(frozen=True)
class Plan:
    """Stages in order.

    Attributes:
        stages: at least one; the last ends at 1.
        shared: whether both answer on the same samples of the same rays.
        features: whether their features mean the same.
    """

    stages: tuple[Stage, ...]
    shared: bool
    features: bool


def plan(teacher: Renderer, student: Renderer, distilling: Distilling) -> Plan:
    """The stages for this pair; what is inherited must have been."""
    last = Stage(RENDERING, 1.0)
    if not (isinstance(teacher, VolumeRenderer) and isinstance(student, VolumeRenderer)):
        return Plan((last,), shared=False, features=False)
    features = features_match(teacher.field, student.field, home_of(student))
    most = distilling.stage_steps
    first = (Stage(FEATURES, distilling.features_until, most),) if features else ()
    return Plan((*first, Stage(POINTS, distilling.points_until, most), last), shared=True, features=features)


@torch.no_grad()
def features_match(teacher: Medium, student: Medium, device: torch.device) -> bool:
    """Whether both, on one device, make the same colours of the same features, as behind inherited networks."""
    generator = torch.Generator().manual_seed(0)
    directions = torch.nn.functional.normalize(torch.randn(16, 3, generator=generator), dim=-1).to(device)
    samples = Samples(torch.zeros_like(directions), directions, torch.ones_like(directions[:, 0]))
    theirs, ours = teacher.density(samples)[1], student.density(samples)[1]
    if theirs.shape != ours.shape:
        return False
    features = torch.randn(theirs.shape, generator=generator).to(device)
    return torch.allclose(teacher.color(features, samples), student.color(features, samples), atol=1e-4)
