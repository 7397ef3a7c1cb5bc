"""From a scene and a config of another representation to a distillation, and from its run folder back to one."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from scenekit.assets.run import RECIPE, continue_training
from scenekit.core.cameras import Cameras
from scenekit.core.checks import BadInput
from scenekit.core.cloud import PointCloud
from scenekit.core.precision import quick_products
from scenekit.core.protocols import Controller, Renderer, Scheduled
from scenekit.data import Capture
from scenekit.distill.active import PosePool, RaySource
from scenekit.distill.examine import occupied_cells, require_capacity
from scenekit.distill.inherit import carve, inherit, inherit_occupancy
from scenekit.distill.objective import Distillation
from scenekit.distill.pictures import FEWEST, Gallery, SinglePixels, WholePictures, affordable
from scenekit.distill.plan import Distilling, Plan, plan
from scenekit.distill.poses import Clearance, PoseSampler, kind_of, looked_from, pinholes, spread
from scenekit.distill.rendering import Rendered
from scenekit.distill.shared import SharedSamples
from scenekit.distill.surfaces import smaller, surface_points
from scenekit.recipes.background import BackgroundChoice
from scenekit.recipes.configs import Fitting, from_plain, to_plain
from scenekit.recipes.device import AUTO, device_of
from scenekit.recipes.families import FAMILIES
from scenekit.recipes.family import Manner, Surroundings
from scenekit.recipes.kernels import begin_compiling
from scenekit.recipes.load import configs_of, load, recorded_conversion
from scenekit.renderers.scene import Scene
from scenekit.renderers.volume import VolumeRenderer
from scenekit.representations import REPRESENTATIONS
from scenekit.training.batches import Views
from scenekit.training.steps import Budget, Step, Training
from scenekit.training.steps import steps as training_steps

WATCHED = 3  # pictures of the teacher on which a target PSNR is judged
WATCHED_SIDE = 96
SURFACE_LOOKS = 40  # poses from which surfaces are looked for
SURFACE_POINTS = {"cpu": 20_000, "cuda": 120_000}  # where nobody says how many
CARVING_LOOKS = 40  # of the run's own, from which it is seen where nothing is
HELD_OUT_VIEWS = 8  # where a run does not say which of its photographs were held out


@dataclass(frozen=True)
class Converting:
    """Limits of a conversion.

    Attributes:
        steps: convert for this many steps (resumes bit for bit on a CPU).
        minutes: convert for this many minutes, all stages together; 5 if no other limit is given.
        target_psnr: stop at this PSNR against the teacher, in dB.
        seed: of all randomness.
        photographs: the run's own are learnt from too, where they are found and the student is not a field that shares
            its samples with its teacher; --no-photographs leaves them alone, and so does a density floor that is
            lowered, for they show what was erased.
        device: auto (a GPU where there is one), cpu, cuda or cuda:NUMBER.
    """

    steps: int | None = None
    minutes: float | None = None
    target_psnr: float | None = None
    seed: int = 0
    photographs: bool = True
    device: str = AUTO


@dataclass
class Conversion:
    """A distillation under way.

    Attributes:
        training, scene: what it changes, and the scene it becomes.
        teacher: the scene it learns from.
        plan: its stages.
        held_out: cameras in ``world`` that nothing is learnt from.
        inherited: names of the tensors that were copied from the teacher.
        seconds: of what came before the first step, by name.
        photographed: how many photographs it learns from.
    """

    training: Training
    scene: Scene
    teacher: Scene
    plan: Plan
    held_out: Cameras
    inherited: tuple[str, ...] = ()
    seconds: dict[str, float] = field(default_factory=dict)
    photographed: int = 0

    def finish(self) -> None:
        """The last stage ends now."""
        self._distillation().finish()

    def _distillation(self) -> Distillation:
        objective = self.training.objective
        assert isinstance(objective, Distillation)
        return objective

    @property
    def looks(self) -> int:
        """From how many poses the teacher is looked at."""
        return len(self._distillation().pool.cameras)

    @property
    def stage_seconds(self) -> dict[str, float]:
        """Of every stage so far, in order."""
        return self.seconds | self._distillation().seconds


def prepare_conversion(
    teacher: Scene,
    representation: Any,
    converting: Converting | None = None,
    family_fitting: Any = None,
    *,
    distilling: Distilling | None = None,
    capture: Capture | None = None,
    run: str = "",
) -> Conversion:
    """Build everything that a conversion of ``teacher`` into ``representation`` (a config) needs.

    ``family_fitting`` is ``VolumeFitting`` or ``SplatFitting``, ``capture`` holds photographs that may help, ``run`` is
    the teacher's folder, for the recipe and for messages. The teacher is moved to the device of the conversion.

    Raises BadInput for a teacher without cameras or with nothing in it, and for a student that is too small.
    """
    converting, distilling = converting or Converting(), distilling or Distilling()
    device = device_of(converting.device)
    renderer = teacher.to(device).renderer
    if isinstance(renderer, torch.nn.Module):
        begin_compiling(renderer, device)
    with quick_products(device):
        return _prepared(teacher, representation, converting, family_fitting, distilling, capture, run)


def _prepared(
    teacher: Scene,
    representation: Any,
    converting: Converting,
    family_fitting: Any,
    distilling: Distilling,
    capture: Capture | None,
    run: str,
) -> Conversion:
    family = FAMILIES[representation.renderer]
    fitting = family_fitting or family.fitting()
    limits = Fitting(converting.steps, converting.minutes, converting.target_psnr).budget()
    device, clock = teacher.device, _Clock()
    inside = teacher.cameras_in_scene(teacher.cameras)
    straight = pinholes(inside)
    cells = occupied_cells(teacher.renderer, straight, teacher.bounds, run or "convert")
    # Parameters start in main memory; all else is drawn where the scene is.
    generator = torch.Generator().manual_seed(converting.seed)
    drawn = generator if device.type == "cpu" else torch.Generator(device).manual_seed(converting.seed)
    learnt, held_out = _split(teacher)
    around = straight[learnt]
    sampler = PoseSampler(around, kind_of(around), Clearance(teacher.renderer, around))
    cloud = None
    if family.needs_points:
        count = distilling.surface_points or SURFACE_POINTS[teacher.device.type]
        cloud = _surfaces(teacher.renderer, sampler, count, drawn).to("cpu")
        clock.note("surfaces")
    surroundings = Surroundings(teacher.bounds, inside[learnt].to("cpu"), cloud, generator)
    renderer = family.build(representation, fitting, surroundings).to(device)
    begin_compiling(renderer, device)
    require_capacity(renderer, cells, _name_of(representation))
    everything = teacher.recipe.get("representation") == _described(representation)
    inherited = _inherit(teacher.renderer, renderer, everything)
    made = plan(teacher.renderer, renderer, distilling)
    views = distilling.views or _views_of(made, teacher.renderer, inside[learnt], limits)
    distilling = replace(distilling, views=views)  # in the recipe, for a conversion that is resumed
    helping = None if made.shared or not _may_help(converting, distilling) else capture
    parts = _Parts(teacher, renderer, family.manner(renderer, representation, fitting), distilling)
    own, views = looked_from(inside[learnt], views, shared=made.shared, photographed=helping is not None)
    pool = PosePool(own, sampler, views, distilling.active.poses, drawn)
    stages, controllers = parts.stages(made, pool, None if helping is None else _views(helping, learnt, own))
    clock.note("preparation")
    objective = Distillation(renderer, stages, pool, _watched(teacher.renderer, sampler))
    training = Training(objective, limits, drawn, controllers=controllers, averages=parts.manner.averages)
    training.seconds = sum(clock.seconds.values())
    recipe = _recipe(teacher, representation, fitting, converting, distilling, run)
    scene = Scene(
        renderer, _same_background(teacher), teacher.scene_from_world, teacher.cameras, teacher.bounds, recipe
    )
    outside = teacher.cameras[held_out] if held_out else _elsewhere(teacher, sampler)
    return Conversion(training, scene, teacher, made, outside, inherited, clock.seconds, len(own) if helping else 0)


@dataclass
class _Parts:
    """What the stages are made of."""

    teacher: Scene
    student: Renderer
    manner: Manner
    distilling: Distilling

    def stages(self, made: Plan, pool: PosePool, photographs: Views | None) -> tuple[list[Any], list[Controller]]:
        """The stages with how they look, and the controllers of them all."""
        teacher, student = self.teacher.renderer, self.student
        if made.shared:
            assert isinstance(teacher, VolumeRenderer)
            assert isinstance(student, VolumeRenderer)
            inherit_occupancy(teacher.occupancy, student.occupancy)
            rays = self._rays(pool)
            looking = SharedSamples(teacher.field, student, rays, self.distilling, features=made.features)
            own = student.field.controllers() if isinstance(student.field, Scheduled) else []
            return [(stage, looking) for stage in made.stages], own
        if isinstance(student, VolumeRenderer):
            student.occupancy.forget_unseen(pool.cameras)
            carve(student.occupancy, teacher, spread(pool.sampler.cameras, CARVING_LOOKS))
        gallery = Gallery(teacher, pool, photographs)
        rendered = Rendered(student, self.teacher.background, self._looks(gallery), self.manner.loss,
                            self.distilling.depth_weight)  # fmt: skip
        return [(stage, rendered) for stage in made.stages], list(self.manner.controllers)

    def _looks(self, gallery: Gallery) -> WholePictures | SinglePixels:
        if self.student.batching == "images":
            return WholePictures(gallery)
        return SinglePixels(gallery, self._rays(gallery.pool))

    def _rays(self, pool: PosePool) -> RaySource:
        on_gpu = self.teacher.device.type == "cuda"
        return RaySource(pool, self.manner.samples, self.distilling.active.rays, by_sizes=on_gpu)


def resume_conversion(run: Path, limits: Mapping[str, Any] | None = None, capture: Capture | None = None) -> Conversion:
    """The conversion of a run as its newest checkpoint left it; ``limits`` may move its limits, or name a device.

    Raises BadInput where the run is no conversion, or where its teacher is gone.
    """
    where = str(run / RECIPE)
    recipe, made = recorded_conversion(run)
    representation, fitting = configs_of(recipe, where)
    converting = from_plain(Converting, made["limits"] | dict(limits or {}), f"{where}: limits")
    distilling = from_plain(Distilling, made["distilling"], f"{where}: distilling")
    conversion = prepare_conversion(
        load(made["teacher"]), representation, converting, fitting,
        distilling=distilling, capture=capture, run=made["teacher"],
    )  # fmt: skip
    continue_training(run, conversion.training)
    return conversion


def convert(  # noqa: PLR0913 (limits are given by name, one of them as a rule)
    scene: Scene,
    representation: Any,
    *,
    steps: int | None = None,
    minutes: float | None = None,
    target_psnr: float | None = None,
    seed: int = 0,
    device: str = AUTO,
    capture: Capture | None = None,
    report: Callable[[Step], None] | None = None,
) -> Scene:
    """Distil a scene into another representation: ``splats = sk.convert(scene, sk.Gaussians(), minutes=2)``.

    Args:
        scene: from :func:`scenekit.train`, :func:`scenekit.load` or a conversion before; it is moved to ``device``,
            and the new one is there.
        representation: the student's config.
        steps, minutes, target_psnr: limits; five minutes where none is given.
        seed: of all randomness.
        device: auto (a GPU where there is one), cpu, cuda or cuda:NUMBER.
        capture: the scene's photographs, if they shall help.
        report: called after every step.
    """
    converting = Converting(steps, minutes, target_psnr, seed, device=device)
    conversion = prepare_conversion(scene, representation, converting, capture=capture)
    for step in training_steps(conversion.training):
        if report is not None:
            report(step)
    return conversion.scene


class _Clock:
    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._since = time.perf_counter()

    def note(self, name: str) -> None:
        now = time.perf_counter()
        self.seconds[name] = now - self._since
        self._since = now


def _surfaces(teacher: Renderer, sampler: PoseSampler, count: int, generator: torch.Generator) -> PointCloud:
    """Points to start from, seen from half of the own cameras and half new ones."""
    looks = spread(sampler.cameras, SURFACE_LOOKS // 2)
    drawn = sampler.draw(SURFACE_LOOKS - len(looks), generator)
    return surface_points(teacher, Cameras.joined([looks, drawn]), count, generator)


def _views_of(made: Plan, teacher: Renderer, cameras: Cameras, limits: Budget) -> int:
    """How many poses to look from at a time, where nobody says: each is a picture unless samples are shared."""
    if made.shared:
        return FEWEST
    return affordable(teacher, cameras, None if limits.minutes is None else 60 * limits.minutes)


def _may_help(converting: Converting, distilling: Distilling) -> bool:
    """Photographs show what was erased."""
    return converting.photographs and distilling.density_floor >= Distilling().density_floor


def _split(teacher: Scene) -> tuple[list[int], list[int]]:
    """Indices of the cameras to look from, and of the held-out ones as far as the recipe knows them."""
    held_out = [i for i in teacher.recipe.get("capture", {}).get("held_out", []) if i < len(teacher.cameras)]
    learnt = [i for i in range(len(teacher.cameras)) if i not in held_out]
    return (learnt, held_out) if learnt else (held_out, [])


def _views(capture: Capture, learnt: list[int], own: Cameras) -> Views:
    images = tuple(capture.images[i] for i in learnt)
    sizes = tuple((image.shape[1], image.shape[0]) for image in images)
    if sizes != own.sizes:
        raise BadInput.of(capture.name, wanted="the photographs that the scene was trained on", found="other sizes",
                          remedy="open it with the downscale of its training, or use --no-photographs")  # fmt: skip
    return Views(own, images)


def _watched(teacher: Renderer, sampler: PoseSampler) -> list[tuple[Cameras, Tensor]]:
    """The same small pictures whatever the seed."""
    drawn = sampler.draw(WATCHED, torch.Generator(sampler.cameras.intrinsics.device).manual_seed(0))
    cameras = [smaller(drawn[i], WATCHED_SIDE) for i in range(len(drawn))]
    with torch.no_grad():
        return [(camera, teacher.render(camera).color) for camera in cameras]


def _elsewhere(teacher: Scene, sampler: PoseSampler) -> Cameras:
    """Cameras in ``world`` that a conversion has not looked from, where a run does not say what was held out."""
    drawn = sampler.draw(HELD_OUT_VIEWS, torch.Generator(teacher.device).manual_seed(1))
    return drawn.to("cpu", torch.float64).moved(teacher.scene_from_world.inverse())


def _inherit(teacher: Renderer, student: Renderer, everything: bool) -> tuple[str, ...]:
    if isinstance(teacher, VolumeRenderer) and isinstance(student, VolumeRenderer):
        return inherit(teacher, student, everything=everything)
    return ()


def _same_background(teacher: Scene) -> Any:
    """A copy: the student is seen over what its teacher is seen over."""
    background = from_plain(BackgroundChoice, teacher.recipe["scene"]["background"], "scene.background").build()
    background.load_state_dict(teacher.background.state_dict())
    return background.to(teacher.device) if isinstance(background, torch.nn.Module) else background


def _recipe(
    teacher: Scene, representation: Any, fitting: Any, converting: Converting, distilling: Distilling, run: str
) -> dict[str, Any]:
    """The teacher's, with another representation and the story of how it came about."""
    before = teacher.recipe.get("conversion", {}).get("history", [])
    step = {"from": teacher.recipe["representation"]["name"], "to": _name_of(representation), "teacher": run}
    return {
        "representation": _described(representation),
        "family": to_plain(fitting),
        "capture": dict(teacher.recipe["capture"]),
        "scene": dict(teacher.recipe["scene"]),
        "conversion": {
            "teacher": run,
            "limits": to_plain(converting),
            "distilling": to_plain(distilling),
            "history": [*before, step],
        },
    }


def _described(representation: Any) -> dict[str, Any]:
    return {"name": _name_of(representation), "config": to_plain(representation)}


def _name_of(representation: Any) -> str:
    return next(name for name, kind in REPRESENTATIONS.items() if kind is type(representation))
