"""From a capture and configs to a training, and from a run folder back to one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from scenekit.assets.run import RECIPE, continue_training, read_recipe
from scenekit.core.cameras import Cameras
from scenekit.core.checks import BadInput
from scenekit.core.cloud import PointCloud
from scenekit.core.context import WHOLE, Share
from scenekit.core.protocols import Correction
from scenekit.data import Capture, open_capture
from scenekit.data.memory import give_back
from scenekit.data.registration.settings import REPORT
from scenekit.data.store import StoredImages, channels_of
from scenekit.data.triangulate import Triangulation, triangulate
from scenekit.recipes.background import BackgroundChoice, choose_background
from scenekit.recipes.configs import Fitting, from_plain, section, to_plain
from scenekit.recipes.corrections import Supervision, cameras_of, corrections_of, views_of
from scenekit.recipes.device import AUTO, device_of, resident
from scenekit.recipes.families import FAMILIES
from scenekit.recipes.family import Surroundings
from scenekit.recipes.kernels import begin_compiling
from scenekit.recipes.load import configs_of
from scenekit.renderers.scene import Scene
from scenekit.representations import REPRESENTATIONS
from scenekit.training.batches import Views
from scenekit.training.photographs import Photographs
from scenekit.training.steps import Step, Training
from scenekit.training.steps import steps as training_steps


@dataclass
class Session:
    """A training under way: what it changes, the scene it becomes, and the capture it learns from.

    ``triangulation`` says what the points cost where the capture had none and they were wanted.
    """

    training: Training
    scene: Scene
    capture: Capture
    triangulation: Triangulation | None = None
    corrections: Sequence[Correction] = ()

    def finish(self) -> None:
        """The scene keeps the cameras that were learnt, and is whole in the first of several processes."""
        self.training.part()
        self.scene.cameras = corrected_cameras(self)


def prepare(
    capture: Capture,
    representation: Any,
    fitting: Fitting | None = None,
    family_fitting: Any = None,
    supervision: Supervision | None = None,
    *,
    cache: Path | None = None,
    share: Share = WHOLE,
) -> Session:
    """Build everything that training needs; a capture without points is triangulated where points are needed.

    Args:
        capture: photographs with poses.
        representation: a config from ``REPRESENTATIONS``, such as ``HashGrid()``.
        fitting: limits, seed, background.
        family_fitting: ``VolumeFitting`` or ``SplatFitting``; the family's default where None.
        supervision: masks, measured geometry, and what is learnt of cameras and exposure; masks alone where None.
        cache: folder in which triangulated points are kept.
        share: of the work, where several processes train one scene.
    """
    give_back()  # what decoding has left
    family = FAMILIES[representation.renderer]
    fitting = fitting or Fitting()
    family_fitting = family_fitting or family.fitting()
    budget = fitting.budget()
    if not capture.train:
        raise BadInput.of(capture.name, wanted="photographs to train on", found="none", remedy="add photographs")
    device = device_of(fitting.device)
    generator = torch.Generator().manual_seed(fitting.seed)
    supervision = supervision or Supervision()
    views = views_of(capture, supervision)  # refuses before points are looked for, which takes minutes
    triangulation = _triangulated(capture, cache, supervision) if family.needs_points else None
    capture = _placed(capture, triangulation)
    views = replace(views, cameras=cameras_of(capture))
    around = Surroundings(capture.bounds, views.cameras, _points_in_scene(capture, triangulation), generator, share)
    renderer = family.build(representation, family_fitting, around).to(device)
    begin_compiling(renderer, device)
    parts = family.parts(renderer, representation, family_fitting, resident(views, device))
    choice = _background_of(fitting, capture, views, family.background)
    background = choice.build(generator)
    if isinstance(background, torch.nn.Module):
        background.to(device)
    recipe = _recipe(representation, family_fitting, fitting, supervision, capture, choice)
    scene = Scene(renderer, background, capture.scene_from_world, capture.cameras, capture.bounds, recipe)
    settled = triangulation is not None and len(triangulation.points) > 0
    corrections = corrections_of(capture, supervision, renderer.batching, device, settled=settled)
    objective = Photographs(renderer, background, parts.batches, parts.manner.loss, corrections, parts.probe)
    drawn = generator if device.type == "cpu" else torch.Generator(device).manual_seed(fitting.seed)
    training = Training(
        objective,
        budget,
        drawn,
        controllers=parts.manner.controllers,
        averages=parts.manner.averages,
        share=share,
        photographs=parts.manner.photographs,
        division=parts.division,
    )
    return Session(training, scene, capture, triangulation, corrections)


def resume(run: Path, fitting: Mapping[str, Any] | None = None, share: Share = WHOLE) -> Session:
    """The training of a run as its newest checkpoint left it; ``fitting`` may move the limits, or name a device.

    It may go on in another number of processes than it began in.

    Raises BadInput where the run or its capture cannot be read, or where there is no checkpoint.
    """
    recipe = read_recipe(run)
    where = str(run / RECIPE)
    if "conversion" in recipe:
        raise BadInput.of(run, wanted="a training to continue", found="a conversion",
                          remedy="continue it with scenekit convert --resume")  # fmt: skip
    representation, family_fitting = configs_of(recipe, where)
    options = section(recipe, "training", where) | dict(fitting or {})
    source = section(recipe, "capture", where)
    capture = open_capture(
        source["path"],
        downscale=source["downscale"],
        keep_lens=source.get("keep_lens", False),
        cache_bytes=source.get("cache_bytes"),
    )
    fitting_options = from_plain(Fitting, options, f"{where}: training")
    supervision = from_plain(Supervision, recipe.get("supervision", {}), f"{where}: supervision")
    session = prepare(capture, representation, fitting_options, family_fitting, supervision, cache=run, share=share)
    continue_training(run, session.training)
    return session


def train(
    capture: Capture,
    representation: Any,
    *,
    steps: int | None = None,
    minutes: float | None = None,
    target_psnr: float | None = None,
    seed: int = 0,
    device: str = AUTO,
    report: Callable[[Step], None] | None = None,
) -> Scene:
    """Train a scene: ``scene = sk.train(capture, sk.HashGrid(), steps=2000)``. It is left where it was trained.

    Args:
        capture: from :func:`scenekit.open_capture`.
        representation: a config such as ``HashGrid()`` or ``Gaussians()``.
        steps, minutes, target_psnr: limits; five minutes where none is given.
        seed: of all randomness.
        device: auto (a GPU where there is one), cpu, cuda or cuda:NUMBER.
        report: called after every step.
    """
    fitting = Fitting(steps=steps, minutes=minutes, target_psnr=target_psnr, seed=seed, device=device)
    session = prepare(capture, representation, fitting)
    for step in training_steps(session.training):
        if report is not None:
            report(step)
    session.scene.cameras = corrected_cameras(session)
    return session.scene


@torch.no_grad()
def corrected_cameras(session: Session) -> Cameras:
    """The capture's cameras in ``world``, those of the training photographs as the training has corrected them."""
    corrections = session.corrections
    given = session.capture.cameras
    if not corrections:
        return given
    frame = session.scene.scene_from_world
    inside = session.scene.cameras_in_scene(given)
    for correction in corrections:
        inside = correction.cameras(inside)
    moved = inside.to("cpu", torch.float64).moved(frame.inverse())
    learnt = list(session.capture.train)
    poses, intrinsics = given.world_from_camera.clone(), moved.intrinsics
    poses[learnt] = moved.world_from_camera[learnt]
    return replace(given, world_from_camera=poses, intrinsics=intrinsics)


def _triangulated(capture: Capture, cache: Path | None, supervision: Supervision) -> Triangulation | None:
    """Points for a capture that has none; where poses are refined, adjusted ones: points of wrong poses are wrong.

    Those that finding poses left are few, half as many for fox, and cost Gaussians 0.4 dB there (270x480, 1,000 steps).
    Matching through bent lenses is not done: Gaussians start from random points there.
    """
    return triangulate(capture, cache, doubted=supervision.refine_poses) if wants_points(capture) else None


def wants_points(capture: Capture) -> bool:
    """Whether points are triangulated where some are needed."""
    lasting = capture.points is not None and not _was_processed(capture)
    return not lasting and capture.cameras.are_pinholes


def _was_processed(capture: Capture) -> bool:
    """Whether its poses are ``scenekit process``'s."""
    return capture.source is not None and (capture.source.root / REPORT).is_file()


def _placed(capture: Capture, triangulation: Triangulation | None) -> Capture:
    """The capture with the poses that its points have, where these were adjusted; held-out cameras stay."""
    if triangulation is None or not triangulation.turned:
        return capture
    poses = capture.cameras.world_from_camera.clone()
    poses[list(capture.train)] = triangulation.poses
    return replace(capture, cameras=replace(capture.cameras, world_from_camera=poses))


def _points_in_scene(capture: Capture, triangulation: Triangulation | None) -> PointCloud | None:
    """The more of the capture's own and those triangulated; of adjusted poses the latter."""
    points = capture.points
    if triangulation is not None:
        found = triangulation.points
        points = found if points is None or triangulation.turned or len(found) > len(points) else points
    if points is None:
        return None
    moved = points.moved(capture.scene_from_world)
    return replace(moved, positions=moved.positions.float(), colors=moved.colors.float())


def _background_of(fitting: Fitting, capture: Capture, views: Views, family_default: str) -> BackgroundChoice:
    has_alpha = 4 in channels_of(views.images)
    return choose_background(
        fitting.background, has_alpha=has_alpha, behind=capture.background, family_default=family_default
    )


def _recipe(
    representation: Any,
    family_fitting: Any,
    fitting: Fitting,
    supervision: Supervision,
    capture: Capture,
    background: BackgroundChoice,
) -> dict[str, Any]:
    """Everything needed to build the renderer again and to go on training, as plain values."""
    return {
        "representation": {"name": _name_of(representation), "config": to_plain(representation)},
        "family": to_plain(family_fitting),
        "training": to_plain(fitting),
        "supervision": to_plain(supervision),
        "capture": {
            "path": capture.name if capture.root is None else str(capture.root.resolve()),
            "downscale": capture.downscale,
            "keep_lens": capture.keep_lens,
            **_streaming(capture),
            "held_out": list(capture.test),
        },
        "scene": {
            "bounds": to_plain(capture.bounds),
            "scene_from_world": capture.scene_from_world.to_json(),
            "background": to_plain(background),
        },
    }


def _streaming(capture: Capture) -> dict[str, Any]:
    """What going on needs to draw from the same photographs at the same steps."""
    return {"cache_bytes": capture.images.cache_bytes} if isinstance(capture.images, StoredImages) else {}


def _name_of(representation: Any) -> str:
    return next(name for name, kind in REPRESENTATIONS.items() if kind is type(representation))
