"""Held-out photographs of a scene whose poses or exposures were learnt: what they lack is fitted, the scene frozen.

Learnt cameras leave a scene free to move as a whole, and nobody knows the exposure of a photograph that was not
trained on. So held-out cameras follow the similarity between given and learnt training cameras, then each pose is
optimised by itself; exposure is fitted on the left half of a photograph and judged on the right half alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from scenekit.core.cameras import Cameras
from scenekit.core.protocols import Context, Renderer, over_background
from scenekit.core.transforms import Similarity
from scenekit.renderers.scene import Scene
from scenekit.training.batches import ImageBatches, PixelBatches, Views
from scenekit.training.corrections.appearance import exposed
from scenekit.training.corrections.cameras import Poses, moved
from scenekit.training.evaluate import Score, psnr, structural_similarity, to_bytes
from scenekit.training.photographs import believed, over, served_of

POSE_STEPS = 150
POSE_RATE = 2e-3  # radians and scene units a step at first; a hundredth of it at the end
PIXELS = 4096
EXPOSURE_STEPS = 200


def following(cameras: Cameras, given: Cameras, learnt: Cameras) -> Cameras:
    """Cameras of the given frame where the scene has moved to, by the training cameras that were given and learnt."""
    return cameras.moved(Similarity.between(given.centres, learnt.centres))


def fitted_pose(scene: Scene, camera: Cameras, image: UInt8[Tensor, "H W c"]) -> Cameras:
    """One camera in ``world``, moved until the frozen scene shows its photograph best; deterministic on a CPU."""
    device = scene.device
    inside = replace(scene.cameras_in_scene(camera), view_ids=torch.zeros(1, dtype=torch.int64, device=device))
    views = Views(inside, (image.to(device),))
    whole = scene.renderer.batching == "images"
    batches = ImageBatches(views) if whole else PixelBatches(views, PIXELS)
    pose = Poses(1).to(device)
    optimizer = torch.optim.Adam(pose.parameters(), lr=POSE_RATE, betas=(0.9, 0.99))
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.01 ** (1 / POSE_STEPS))
    context = Context(True, torch.Generator(device).manual_seed(0))
    with frozen(scene.renderer):
        for _ in range(POSE_STEPS):
            batch = batches.of(PIXELS, context) if isinstance(batches, PixelBatches) else batches.next(context)
            there = pose.cameras(batch.cameras)
            rendering = scene.renderer.render(there, batch.pixels, context=context)
            with torch.no_grad():
                behind = scene.background.colors(there, batch.pixels, context)
            seen, served = over_background(rendering, behind).color, served_of(rendering)
            target = believed(over(batch.target, behind), seen, None if served is None else served[..., None])
            error = seen - target
            optimizer.zero_grad()
            error.square().mean().backward()
            optimizer.step()
            schedule.step()
    with torch.no_grad():
        placed = moved(inside.world_from_camera, pose.turns, pose.shifts)
    back = replace(inside, world_from_camera=placed).to("cpu", torch.float64).moved(scene.scene_from_world.inverse())
    return replace(camera, world_from_camera=back.world_from_camera)


@contextmanager
def frozen(renderer: Renderer) -> Iterator[None]:
    """No parameter of the renderer gets gradients."""
    parameters = [p for group in renderer.parameter_groups() for p in group.parameters.values()]
    learning = [p for p in parameters if p.requires_grad]
    for parameter in learning:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in learning:
            parameter.requires_grad_(True)


def fitted_stops(color: Float[Tensor, "H W 3"], target: Float[Tensor, "H W 3"]) -> Float[Tensor, "3"]:
    """Stops of each channel that bring ``color`` nearest to ``target``, on the left half of both."""
    half = color.shape[1] // 2
    stops = torch.zeros(3, requires_grad=True)
    optimizer = torch.optim.Adam([stops], lr=0.05)
    left, wanted = color[:, :half].detach(), target[:, :half]
    for _ in range(EXPOSURE_STEPS):
        optimizer.zero_grad()
        (exposed(left, stops).clamp(max=1) - wanted).square().mean().backward()
        optimizer.step()
    return stops.detach()


def right_half(score: Score, target: UInt8[Tensor, "H W 3"], *, fit: bool) -> Score:
    """The score of the right half alone, with exposure fitted on the left half, or as it is."""
    half = target.shape[1] // 2
    color = score.rendered.float() / 255
    if fit:
        color = exposed(color, fitted_stops(color, target.float() / 255)).clamp(max=1)
    picture = to_bytes(color)
    shown, wanted = picture[:, half:], target[:, half:]
    return Score(score.name, psnr(shown, wanted), structural_similarity(shown, wanted), picture)
