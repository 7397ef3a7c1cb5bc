"""A splat file becomes a scene: a frame in which it is of ordinary size, and cameras around it."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from scenekit.assets.frames import Axis, direction
from scenekit.assets.splats.files import SplatFile
from scenekit.core.bounds import Bounds
from scenekit.core.cameras import Cameras, look_at
from scenekit.core.checks import BadInput
from scenekit.core.transforms import Similarity
from scenekit.recipes.background import BackgroundChoice
from scenekit.recipes.configs import Fitting, SplatFitting, to_plain
from scenekit.renderers.scene import Scene
from scenekit.renderers.splats import SplatRenderer
from scenekit.representations.gaussian_cloud import GaussianCloud, model_of

RINGS = ((15.0, 12), (40.0, 12))  # elevation in degrees, cameras
SIZE = (800, 600)
FIELD_OF_VIEW = math.radians(50)  # vertical
INNER = 0.95  # of the weight lies in the ball that the cameras look at
SAMPLE = 1 << 18
FARTHEST = 1 << 10  # extent at most, in scene units: what lies beyond is seen all the same


def scene_of_file(file: SplatFile, up: Axis = "-y") -> Scene:
    """The scene of a splat file; the cameras stand on two rings around what is solid in it.

    Args:
        file: as it was read.
        up: which axis of the file points up; that of files in the axes of the first trainer, by default.

    Raises BadInput for a file without a Gaussian.
    """
    if len(file.cloud) == 0:
        raise BadInput.of(file.path, wanted="at least one Gaussian", found="none", remedy="write the file again")
    centre, radius = _solid_ball(file.cloud)
    scene_from_world = Similarity.of(1 / radius, centre)
    inside = file.cloud.moved(scene_from_world)
    farthest = float(torch.quantile(inside.means[:SAMPLE].abs().amax(-1), 0.99))
    extent = min(FARTHEST, 2.0 ** max(0, math.ceil(math.log2(max(farthest, 1e-6)))))
    model = model_of(inside)
    background, bounds = BackgroundChoice("given"), Bounds(extent=float(extent))
    recipe = {
        "representation": {"name": "gaussians", "config": to_plain(model.config)},
        "family": to_plain(SplatFitting()),
        "training": to_plain(Fitting()),
        "capture": {"path": str(file.path.resolve()), "downscale": 1.0},
        "imported": {"format": file.codec, "gaussians": len(file.cloud), "up": up},
        "scene": {
            "bounds": to_plain(bounds),
            "scene_from_world": scene_from_world.to_json(),
            "background": to_plain(background),
        },
    }
    renderer = SplatRenderer(model, antialiased=file.cloud.antialiased)
    cameras = _rings(centre, radius, direction(up))
    return Scene(renderer, background.build(), scene_from_world, cameras, bounds, recipe)


def _solid_ball(cloud: GaussianCloud) -> tuple[Float[Tensor, "3"], float]:
    """Centre and radius of the ball that holds most of what is solid; floaters far away do not count."""
    step = max(1, len(cloud) // SAMPLE)
    means, opacities = cloud.means[::step].double(), cloud.opacity_logits[::step].sigmoid().double()
    centre = torch.stack([_weighted_quantile(means[:, axis], opacities, 0.5) for axis in range(3)])
    distances = (means - centre).norm(dim=-1)
    radius = float(_weighted_quantile(distances, opacities, INNER))
    sizes = cloud.log_scales[::step].amax(-1).double().exp()
    return centre, max(radius, float(_weighted_quantile(sizes, opacities, 0.5)), 1e-6)


def _weighted_quantile(values: Float[Tensor, " N"], weights: Float[Tensor, " N"], share: float) -> Float[Tensor, ""]:
    order = values.argsort()
    reached = weights[order].cumsum(0)
    return values[order][torch.searchsorted(reached, share * reached[-1]).clamp(max=len(values) - 1)]


def _rings(centre: Float[Tensor, "3"], radius: float, up: Float[Tensor, "3"]) -> Cameras:
    distance = 1.1 * radius / math.sin(FIELD_OF_VIEW / 2)
    ahead = up.roll(1).abs()  # an axis across it
    aside = torch.linalg.cross(up, ahead)
    poses = []
    for elevation, count in RINGS:
        height, flat = math.sin(math.radians(elevation)), math.cos(math.radians(elevation))
        for index in range(count):
            angle = 2 * math.pi * index / count
            offset = flat * (math.cos(angle) * ahead + math.sin(angle) * aside) + height * up
            poses.append(look_at(centre + distance * offset, centre, up))
    width, height = SIZE
    focal = height / (2 * math.tan(FIELD_OF_VIEW / 2))
    intrinsics = torch.tensor([focal, focal, width / 2, height / 2], dtype=torch.float64)
    return Cameras(torch.stack(poses), intrinsics.repeat(len(poses), 1), (SIZE,) * len(poses))
